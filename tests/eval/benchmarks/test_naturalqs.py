"""Natural Questions: prompts as OLMES renders them, the thousand it draws, and what responses are worth."""

from pathlib import Path
from typing import Any

import pytest

from olmo2.eval.sources import read_rows
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

ROWS: list[dict[str, Any]] = [
    {"question": "who opened the first bridge of our own", "answer": ["Dame Ada Lint", "Ada Lint", "ada"]},
    {"question": "when was it opened ", "answer": ["14 May 1891"]},
]
LOCAL_ROWS = [{"question": row["question"], "answers": row["answer"]} for row in ROWS]


def test_real_questions_are_asked_as_olmes_asks_them(real: Path, shared: Path) -> None:
    """They are drawn from all, and are those of OLMES's own request files, in their order."""
    items, notes = load("naturalqs", real)
    assert hashes(find_task("naturalqs"), items) == FROZEN["real"]["naturalqs"]
    assert notes == []
    drawn = read_rows(shared / "data" / "naturalqs" / "val1000_olmes_docs.jsonl.gz")
    assert [(item.question, item.answer) for item in items] == [(row["question"], row["answers"][0]) for row in drawn]


@pytest.mark.parametrize("file", ["naturalqs/NQ-open.dev", "naturalqs/val1000_olmes_docs"])
def test_real_copies_give_the_same_items(file: str, real: Path, shared: Path) -> None:
    suffix = ".jsonl" if file.endswith("dev") else ".jsonl.gz"
    write_rows(real, "naturalqs/nq_open_validation_hf", read_rows(shared / "data" / f"{file}{suffix}"))
    items, _ = load("naturalqs", real)
    assert hashes(find_task("naturalqs"), items) == FROZEN["real"]["naturalqs"]


@pytest.mark.parametrize("rows", [ROWS, LOCAL_ROWS], ids=["hub", "local"])
def test_questions_of_our_own(data: Path, rows: list[dict[str, Any]]) -> None:
    write_rows(data, "naturalqs/NQ-open.dev", rows)
    items, notes = load("naturalqs", data)
    assert_asks_as_olmes("naturalqs", items)
    assert [(item.doc_id, item.answer) for item in items] == [(0, "Dame Ada Lint"), (1, "14 May 1891")]
    assert notes == ["examples written by us instead of the published OLMES:naturalqs (olmo2 fetch gets those)"]


@pytest.mark.parametrize(
    ("response", "exact_match", "f1"),
    [
        (" Ada Lint", 1, 1),
        (" The Ada!", 1, 1),
        (" Dame Lint", 0, 0.8),  # against three words, both right: 2 * 2 / (2 + 3)
        (" Max Lint", 0, 0.5),  # against "Ada Lint"
        (" nobody", 0, 0),
        ("", 0, 0),
    ],
)
def test_grades(data: Path, response: str, exact_match: float, f1: float) -> None:
    write_rows(data, "naturalqs/NQ-open.dev", ROWS)
    scores = load("naturalqs", data)[0][0].grade(response)
    assert scores == {"exact_match": exact_match, "f1": pytest.approx(f1)}
