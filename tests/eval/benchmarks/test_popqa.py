"""PopQA: prompts as OLMES renders them, what responses are worth, and damaged aliases."""

import json
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.sources import EXAMPLES_FILE
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

ROWS: list[dict[str, Any]] = [
    {
        "id": 1,
        "prop_id": 22,
        "obj": "baker",
        "question": "What is Bruno Breadmaker's occupation?",
        "possible_answers": '["baker", "McBaker", "pâtissier"]',
    },
    {"id": 2, "prop_id": 472, "obj": "red", "question": "What color is ruby?", "possible_answers": '["Red"]'},
]


def test_real_questions_are_asked_as_olmes_asks_them(real: Path, shared: Path) -> None:
    """The rows at hand are those of the list of examples."""
    examples = json.loads((shared / "data" / EXAMPLES_FILE).read_text(encoding="utf-8"))
    write_rows(real, "popqa/test", examples["popqa"])
    items, notes = load("popqa", real)
    assert hashes(find_task("popqa"), items, [None] * len(items)) == FROZEN["real"]["popqa"]
    assert notes == []


def test_questions_of_our_own(data: Path) -> None:
    write_rows(data, "popqa/popQA", ROWS)
    items, notes = load("popqa", data)
    assert_asks_as_olmes("popqa", items)
    assert len(items[0].prompt.turns) == 31
    assert [(item.doc_id, item.answer) for item in items] == [(0, "baker"), (1, "red")]
    assert notes == ["examples written by us instead of the published popqa (olmo2 fetch gets those)"]


@pytest.mark.parametrize(
    ("place", "response", "exact_match"),
    [
        (0, "baker", 1),
        (0, "He was a famous Baker.", 1),
        (0, "BAKER", 0),  # neither as written, nor in lower case, nor with one capital
        (0, "mcbaker", 1),
        (0, "Pâtissier", 1),
        (0, "cook", 0),
        (0, "", 0),
        (1, "a reddish stone", 1),  # within a word, as published
        (1, "blue", 0),
    ],
)
def test_grades(data: Path, place: int, response: str, exact_match: float) -> None:
    write_rows(data, "popqa/test", ROWS)
    assert load("popqa", data)[0][place].grade(response) == {"exact_match": exact_match}


@pytest.mark.parametrize("aliases", ["baker", '["baker"', '{"baker": 1}', "[1]", None, ""])
def test_damaged_aliases_are_named_in_one_sentence(data: Path, aliases: str | None) -> None:
    write_rows(data, "popqa/test", [ROWS[0], {**ROWS[1], "possible_answers": aliases}])
    with pytest.raises(UsageError, match=r"^row 1 of PopQA has .* as possible_answers instead of a list of texts"):
        load("popqa", data)
