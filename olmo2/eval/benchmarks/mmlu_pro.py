"""MMLU-Pro (arXiv 2406.01574): harder questions of 14 categories with up to ten options."""

from functools import partial

from olmo2.eval.ranked import score_choices
from olmo2.eval.rendering import LETTERS, Example, options_of, plain_prompt, with_options
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Ranked, Task

NEED = ("question", "options", "answer_index", "category")
TEST = Rows("TIGER-Lab/MMLU-Pro", "default", "test", ("mmlu_pro/test",), need=NEED)
VALIDATION = Rows("TIGER-Lab/MMLU-Pro", "default", "validation", ("mmlu_pro/validation",), need=NEED)


def load(source: Source) -> list[Ranked]:
    """Return the questions, each behind the first five of its category's validation split."""
    own: list[Example] = []
    examples: dict[str, list[Example]] = {}
    if source.has(VALIDATION):
        for row in source.rows(VALIDATION):
            examples.setdefault(row["category"], []).append(shown(row))
    else:
        source.note("examples written by us instead of MMLU-Pro's validation split")
        own = [shown(row) for row in source.own_examples("mmlu_pro", 5)]
    items = []
    for doc_id, row in enumerate(source.rows(TEST)):
        shots = examples[row["category"]][:5] if examples else own
        options = options_of(plain_prompt(asked(row), shots), LETTERS[: len(row["options"])])
        grader = partial(score_choices, answer=row["answer_index"])
        letter = LETTERS[row["answer_index"]]
        items.append(Ranked(doc_id, row["question"], letter, options, grader, group=row["category"]))
    return items


def asked(row: Row) -> str:
    """Return a question in full, with its options."""
    return with_options(row["question"], row["options"])


def shown(row: Row) -> Example:
    """Return a question with its answer."""
    return asked(row), LETTERS[row["answer_index"]]


TASKS = (
    Task(
        "mmlu_pro",
        1,
        "MMLU-Pro, 5 examples, likeliest letter, mean of all 12,032 questions",
        load,
        "acc_raw",
        12032,
        aliases=("mmlu_pro:mc::none",),
    ),
)
