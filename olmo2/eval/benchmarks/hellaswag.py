"""HellaSwag (arXiv 1905.07830): how a short scene goes on, as texts to rank and as letters."""

import re
from functools import partial

from olmo2.eval.ranked import score_choices, score_choices_and_unconditional
from olmo2.eval.rendering import LETTERS, options_and_unconditional, options_of, plain_prompt, texts_of, with_options
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Ranked, Task

ROWS = Rows(
    "Rowan/hellaswag",
    "default",
    "validation",
    ("hellaswag/validation", "hellaswag/val1000_olmes_docs"),
    num_rows=10_042,
)
NUM_SAMPLED = 1000


def load_texts(source: Source) -> list[Ranked]:
    """Return the scenes with their endings as texts."""
    examples = [(scene(row), endings(row)[answer_of(row)]) for row in source.examples("OLMES:hellaswag", 5)]
    items = []
    for doc_id, row in enumerate(source.sampled(ROWS, NUM_SAMPLED)):
        options = options_and_unconditional(plain_prompt(scene(row), examples), endings(row))
        grader = partial(score_choices_and_unconditional, answer=answer_of(row))
        items.append(Ranked(doc_id, scene(row), endings(row)[answer_of(row)], options, grader))
    return items


def load_letters(source: Source) -> list[Ranked]:
    """Return the scenes with letters as options."""
    examples = [(listed(row), LETTERS[answer_of(row)]) for row in source.examples("OLMES:hellaswag", 5)]
    items = []
    rows = source.sampled(ROWS, NUM_SAMPLED)
    if any("query" in row for row in rows):
        source.note("scenes of a copy without the spaces that stand at the end of many of the published ones")
    for doc_id, row in enumerate(rows):
        options = options_of(plain_prompt(listed(row), examples), LETTERS[: len(endings(row))])
        grader = partial(score_choices, answer=answer_of(row))
        items.append(Ranked(doc_id, scene(row), endings(row)[answer_of(row)], options, grader))
    return items


def raw_scene(row: Row) -> str:
    """Return a scene as it is stored: the activity, what happened, and how the last sentence begins."""
    return f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"


def scene(row: Row) -> str:
    """Return a scene in full, of a row in the form of the hub or in OLMES's own."""
    return row["query"] if "query" in row else cleaned(raw_scene(row))


def endings(row: Row) -> list[str]:
    """Return the texts of a row's endings."""
    return texts_of(row["choices"]) if "choices" in row else [cleaned(text) for text in texts_of(row["endings"])]


def listed(row: Row) -> str:
    """Return a scene with its endings behind letters."""
    before = "Choose the best continuation:\n"
    if "query" in row:
        return with_options(scene(row), endings(row), opening="", before=before)
    return cleaned(with_options(raw_scene(row), row["endings"], opening="", before=before))


def answer_of(row: Row) -> int:
    """Return the place of the right ending."""
    return int(row["gold"] if "gold" in row else row["label"])


def cleaned(text: str) -> str:
    """Return a text without the marks that the WikiHow part was left with."""
    text = re.sub(r"\.? \[title\]", ". ", text.strip())
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


TASKS = (
    Task(
        "hellaswag:rc",
        1,
        "HellaSwag, 1,000 scenes, 5 examples, likeliest ending per character",
        load_texts,
        "acc_per_char",
        NUM_SAMPLED,
        aliases=("hellaswag:rc::olmes",),
    ),
    Task(
        "hellaswag:mc",
        1,
        "HellaSwag, 1,000 scenes, 5 examples, likeliest letter",
        load_letters,
        "acc_raw",
        NUM_SAMPLED,
        aliases=("hellaswag:mc::olmes",),
    ),
)
