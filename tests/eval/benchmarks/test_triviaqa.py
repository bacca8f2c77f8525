"""TriviaQA: prompts as OLMES renders them, rows in both forms, and what responses are worth."""

from pathlib import Path
from typing import Any

import pytest

from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

ROWS: list[dict[str, Any]] = [
    {
        "question_id": "own_1",
        "question": "Which river of our own is the longest? ",
        "answer": {
            "value": "The Lint",
            "aliases": ["The Lint", "River Lint", "Lint (river)"],
            "normalized_aliases": ["lint", "river lint", "lint river", "linta"],
        },
    }
]
LOCAL_ROWS = [
    {
        "context": "Question: Which river of our own is the longest? \nAnswer:",
        "answer": "The Lint",
        "aliases": ["River Lint", "Lint (river)", "linta"],
    }
]


def test_real_questions_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("triviaqa", real)
    assert hashes(find_task("triviaqa"), items) == FROZEN["real"]["triviaqa"]
    assert notes == []


@pytest.mark.parametrize("rows", [ROWS, LOCAL_ROWS], ids=["hub", "local"])
@pytest.mark.parametrize(
    ("response", "exact_match", "f1"),
    [
        (" the lint", 1, 1),
        (" Lint, river", 1, 1),
        (" LINTA", 1, 1),  # an alias that only the list of normalised ones has
        (" River Lint in the west", 0, 2 * 2 / (4 + 2)),
        (" Rhine", 0, 0),
        ("", 0, 0),
    ],
)
def test_a_question_of_our_own(
    data: Path, rows: list[dict[str, Any]], response: str, exact_match: float, f1: float
) -> None:
    write_rows(data, "triviaqa/validation", rows)
    items, notes = load("triviaqa", data)
    assert_asks_as_olmes("triviaqa", items)
    assert items[0].answer == "The Lint"
    assert notes == ["examples written by us instead of the published OLMES:triviaqa (olmo2 fetch gets those)"]
    assert items[0].grade(response) == {"exact_match": exact_match, "f1": pytest.approx(f1)}
