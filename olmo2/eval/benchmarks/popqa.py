"""PopQA (arXiv 2212.10511): facts about popular and less popular things, to be named from memory."""

import json
from functools import partial

from olmo2.base.errors import UsageError
from olmo2.eval.rendering import many_turns
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Scores, Task, Written
from olmo2.grading.short_answer import contains_answer

ROWS = Rows(
    "akariasai/PopQA", "default", "test", ("popqa/test", "popqa/popQA"), need=("question", "obj", "possible_answers")
)


def load(source: Source) -> list[Written]:
    """Return the questions as the last of many turns."""
    examples = [(asked(row), row["obj"]) for row in source.examples("popqa", 15)]
    items = []
    for doc_id, row in enumerate(source.rows(ROWS)):
        aliases = aliases_of(row, doc_id)
        prompt = many_turns(asked(row), examples)
        items.append(Written(doc_id, row["question"], row["obj"], prompt, partial(grade, aliases=aliases)))
    return items


def aliases_of(row: Row, doc_id: int) -> tuple[str, ...]:
    """Return all accepted answers, which a row holds as JSON. Raises UsageError if that is damaged."""
    try:
        aliases = json.loads(row["possible_answers"])
    except (ValueError, TypeError):
        aliases = None
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise UsageError(
            f"row {doc_id} of PopQA has {row['possible_answers']!r} as possible_answers instead of a list of texts in "
            "JSON; get the data anew"
        )
    return tuple(aliases)


def asked(row: Row) -> str:
    """Return a question in full."""
    return f"Q: {row['question']} A:"


def grade(response: str, *, aliases: tuple[str, ...]) -> Scores:
    """Return whether the response contains an alias of the answer."""
    return {"exact_match": float(contains_answer(response, aliases))}


TASKS = (
    Task(
        "popqa",
        1,
        "PopQA, 15 examples as turns, an alias of the answer in the response",
        load,
        "exact_match",
        14267,
        max_new_tokens=15,
        stop=("\n\n",),
        aliases=("popqa::tulu",),
    ),
)
