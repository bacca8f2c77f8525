"""TruthfulQA (arXiv 2109.07958): questions that many people answer wrongly."""

from functools import partial

from olmo2.eval.ranked import score_truths
from olmo2.eval.rendering import Example, one_turn, options_of
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Ranked, Task

ROWS = Rows(
    "truthfulqa/truthful_qa",
    "multiple_choice",
    "validation",
    ("truthfulqa/validation", "truthfulqa/mc_derived"),
    need=("question", "mc1_targets", "mc2_targets"),
)


def load(source: Source) -> list[Ranked]:
    """Return the questions behind six examples, all in one message."""
    examples = [(asked(row), row["choices"][0]) for row in source.examples("Original:TruthfulQA", 6)]
    return [item(doc_id, row, examples) for doc_id, row in enumerate(source.rows(ROWS))]


def asked(row: Row) -> str:
    """Return a question in full."""
    return f"Q: {row['question']}\nA:"


def item(doc_id: int, row: Row, examples: list[Example]) -> Ranked:
    """Return a question with the choices of both kinds, every text once; one listed as true and as false is true."""
    is_true: dict[str, bool] = {}
    for kind in ("mc1_targets", "mc2_targets"):
        for choice, label in zip(row[kind]["choices"], row[kind]["labels"], strict=True):
            is_true[choice] = is_true.get(choice, False) or bool(label)
    choices = list(is_true)
    places = {
        kind: tuple(dict.fromkeys(choices.index(choice) for choice in row[kind]["choices"]))
        for kind in ("mc1_targets", "mc2_targets")
    }
    grader = partial(
        score_truths, is_true=tuple(is_true.values()), mc1=places["mc1_targets"], mc2=places["mc2_targets"]
    )
    options = options_of(one_turn(asked(row), examples), choices)
    return Ranked(doc_id, row["question"], choices[0], options, grader)


TASKS = (
    Task(
        "truthfulqa",
        1,
        "TruthfulQA, 6 examples in one turn, share of the true answers' probability (MC2)",
        load,
        "mc2",
        817,
        aliases=("truthfulqa::tulu",),
    ),
)
