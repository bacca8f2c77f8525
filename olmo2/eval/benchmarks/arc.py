"""ARC-Challenge (arXiv 1803.05457): questions of science classes, as texts to rank and as letters."""

from functools import partial

from olmo2.eval.ranked import score_choices, score_choices_and_unconditional
from olmo2.eval.rendering import LETTERS, options_and_unconditional, options_of, plain_prompt, with_options
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Ranked, Task

ROWS = Rows(
    "allenai/ai2_arc",
    "ARC-Challenge",
    "test",
    ("arc/ARC-Challenge_test", "arc/ARC-Challenge_test_docs"),
    need=("choices",),
)


def load_texts(source: Source) -> list[Ranked]:
    """Return the questions with their options as texts."""
    examples = [(asked(row), choices_of(row)[answer_of(row)]) for row in source.examples("OLMES:ARC-Challenge", 5)]
    items = []
    for doc_id, row in enumerate(source.rows(ROWS)):
        options = options_and_unconditional(plain_prompt(asked(row), examples), choices_of(row))
        grader = partial(score_choices_and_unconditional, answer=answer_of(row))
        items.append(Ranked(doc_id, question_of(row), choices_of(row)[answer_of(row)], options, grader))
    return items


def load_letters(source: Source) -> list[Ranked]:
    """Return the questions with letters as options."""
    examples = [(listed(row), LETTERS[answer_of(row)]) for row in source.examples("OLMES:ARC-Challenge", 5)]
    items = []
    for doc_id, row in enumerate(source.rows(ROWS)):
        letters = LETTERS[: len(choices_of(row))]
        options = options_of(plain_prompt(listed(row), examples), letters)
        grader = partial(score_choices, answer=answer_of(row))
        items.append(Ranked(doc_id, question_of(row), choices_of(row)[answer_of(row)], options, grader))
    return items


def question_of(row: Row) -> str:
    """Return the bare question of a row in the form of the hub, or in OLMES's own."""
    if "question" in row:
        return row["question"]
    return row["query"].removeprefix("Question: ").removesuffix("\nAnswer:")


def choices_of(row: Row) -> list[str]:
    """Return the texts of a row's options."""
    return row["choices"] if isinstance(row["choices"], list) else row["choices"]["text"]


def answer_of(row: Row) -> int:
    """Return the place of the right option; some rows number their options instead of lettering them."""
    if "gold" in row:
        return row["gold"]
    key = row["answerKey"]
    return int(key) - 1 if key.isdecimal() else LETTERS.index(key)


def asked(row: Row) -> str:
    """Return a question without its options."""
    return f"Question: {question_of(row)}\nAnswer:"


def listed(row: Row) -> str:
    """Return a question with its options."""
    return with_options(question_of(row), choices_of(row))


TASKS = (
    Task(
        "arc_challenge:rc",
        1,
        "ARC-Challenge, 5 examples, likeliest text set off by its likelihood alone",
        load_texts,
        "acc_uncond",
        1172,
        aliases=("arc_challenge:rc::olmes",),
    ),
    Task(
        "arc_challenge:mc",
        1,
        "ARC-Challenge, 5 examples, likeliest letter",
        load_letters,
        "acc_raw",
        1172,
        aliases=("arc_challenge:mc::olmes",),
    ),
)
