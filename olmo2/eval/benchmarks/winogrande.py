"""WinoGrande (arXiv 1907.10641): which of two names fits a blank, by the rest of the sentence and by letters."""

from functools import partial

from olmo2.eval.ranked import score_choices
from olmo2.eval.rendering import LETTERS, options_of, plain_prompt, with_options
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Option, Ranked, Task

ROWS = Rows(
    "allenai/winogrande",
    "winogrande_xl",
    "validation",
    ("winogrande/validation", "winogrande/winogrande_xl_validation"),
    need=("sentence", "option1", "option2", "answer"),
)


def load_texts(source: Source) -> list[Ranked]:
    """Return the sentences: the same ending behind each name in turn."""
    examples = [
        (beginning(row, names_of(row)[answer_of(row)]), ending(row)) for row in source.examples("OLMES:winogrande", 5)
    ]
    items = []
    for doc_id, row in enumerate(source.rows(ROWS)):
        options = tuple(
            Option(plain_prompt(beginning(row, name), examples), f" {ending(row)}") for name in names_of(row)
        )
        grader = partial(score_choices, answer=answer_of(row))
        items.append(Ranked(doc_id, row["sentence"], names_of(row)[answer_of(row)], options, grader))
    return items


def load_letters(source: Source) -> list[Ranked]:
    """Return the sentences with letters as options."""
    examples = [(listed(row), LETTERS[answer_of(row)]) for row in source.examples("OLMES:winogrande", 5)]
    items = []
    for doc_id, row in enumerate(source.rows(ROWS)):
        options = options_of(plain_prompt(listed(row), examples), LETTERS[:2])
        grader = partial(score_choices, answer=answer_of(row))
        items.append(Ranked(doc_id, row["sentence"], names_of(row)[answer_of(row)], options, grader))
    return items


def names_of(row: Row) -> tuple[str, str]:
    """Return the two names."""
    return row["option1"], row["option2"]


def answer_of(row: Row) -> int:
    """Return the place of the right name."""
    return int(row["answer"]) - 1


def beginning(row: Row, name: str) -> str:
    """Return the sentence up to the blank, filled in."""
    return row["sentence"].partition("_")[0] + name


def ending(row: Row) -> str:
    """Return the sentence behind the blank."""
    return row["sentence"].partition("_")[2].strip()


def listed(row: Row) -> str:
    """Return the sentence with the names behind letters."""
    return with_options(row["sentence"].replace("_", "___"), names_of(row), opening="Fill in the blank: ")


TASKS = (
    Task(
        "winogrande:rc",
        1,
        "WinoGrande, 5 examples, name before which the rest is likelier",
        load_texts,
        "acc_raw",
        1267,
        aliases=("winogrande:rc::olmes",),
    ),
    Task(
        "winogrande:mc",
        1,
        "WinoGrande, 5 examples, likeliest letter",
        load_letters,
        "acc_raw",
        1267,
        aliases=("winogrande:mc::olmes",),
    ),
)
