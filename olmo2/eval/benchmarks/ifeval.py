"""IFEval (arXiv 2311.07911): instructions whose following a program can check."""

from collections.abc import Mapping
from functools import partial

from olmo2.eval.rendering import one_turn
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Scores, Task, Written
from olmo2.grading.instructions import check_instructions

ROWS = Rows(
    "HuggingFaceH4/ifeval",
    "default",
    "train",
    ("ifeval/input_data",),
    need=("prompt", "instruction_id_list", "kwargs"),
)


def load(source: Source) -> list[Written]:
    """Return the prompts, each with its instructions."""
    return [item(doc_id, row) for doc_id, row in enumerate(source.rows(ROWS))]


def item(doc_id: int, row: Row) -> Written:
    """Return a prompt with its checks."""
    ids = tuple(row["instruction_id_list"])
    arguments = tuple({name: value for name, value in each.items() if value} for each in row["kwargs"])
    grader = partial(grade, ids=ids, arguments=arguments, prompt=row["prompt"])
    return Written(doc_id, row["prompt"], ", ".join(ids), one_turn(row["prompt"]), grader)


def grade(response: str, *, ids: tuple[str, ...], arguments: tuple[Mapping[str, object], ...], prompt: str) -> Scores:
    """Return whether all instructions were followed, and which share of them, read loosely and strictly."""
    found = check_instructions(response, ids, arguments, prompt)
    return {
        "prompt_level_loose_acc": float(all(found.loose)),
        "prompt_level_strict_acc": float(all(found.strict)),
        "inst_level_loose_acc": sum(found.loose) / len(ids),
        "inst_level_strict_acc": sum(found.strict) / len(ids),
        "num_instructions": float(len(ids)),
    }


TASKS = (
    Task(
        "ifeval",
        1,
        "IFEval, all instructions of a prompt followed, read loosely",
        load,
        "prompt_level_loose_acc",
        541,
        weights={"inst_level_loose_acc": "num_instructions", "inst_level_strict_acc": "num_instructions"},
        max_new_tokens=2048,
        aliases=("ifeval::tulu",),
    ),
)
