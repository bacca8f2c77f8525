"""DROP: prompts as OLMES renders them, rows in both forms, and what responses are worth."""

import json
from pathlib import Path
from typing import Any

import pytest

from olmo2.eval.sources import read_rows
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

DESCRIPTION = "Passages of our own, with a question each.\n\n"
NO_DATE = {"day": "", "month": "", "year": ""}
NOTE_OF_EXAMPLES = "examples of OLMES:drop instead of three of DROP's training split"


def answer(number: str = "", spans: tuple[str, ...] = (), **date: str) -> dict[str, Any]:
    """One answer in the form of the hub."""
    return {"number": number, "date": NO_DATE | date, "spans": list(spans)}


def row(question: str, first: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """A question in the form of the hub."""
    validated = {key: [other[key] for other in others] for key in ("number", "date", "spans")}
    return {
        "query_id": question,
        "passage": "Anna ran 12 km on 3 May 1990, Ben 7 km.  Both rested.",
        "question": question,
        "answer": first,
        "validated_answers": validated,
    }


ROWS = [
    row("How many km more did Anna run?", answer("5"), answer("5"), answer(spans=("5 km",))),
    row("Who rested?", answer(spans=("Anna", "Ben")), answer(spans=("Ben", "Anna"))),
    row("When did Anna run?", answer(day="3", month="May", year="1990"), answer(year="1990")),
]
LOCAL_ROWS = [  # the same in OLMES's own form
    {"passage": row["passage"], "question": row["question"], "answers": answers}
    for row, answers in zip(
        ROWS, ([["5"], ["5 km"]], [["Anna", "Ben"], ["Ben", "Anna"]], [["3 May 1990"], ["1990"]]), strict=True
    )
]
TRAIN = [
    {**row(f"How many boats are in harbor {i}?", answer(str(i * 3))), "passage": f"Harbor {i} has {i * 3} boats."}
    for i in range(50)
]


def describe(folder: Path) -> None:
    """Write a description of our own where the published one belongs."""
    file = folder / "fewshot" / "olmes_descriptions.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"drop::olmes": DESCRIPTION}), encoding="utf-8")


def test_real_questions_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("drop", real)
    assert hashes(find_task("drop"), items) == FROZEN["real"]["drop"]
    assert notes == [NOTE_OF_EXAMPLES]
    describe(real)
    items, notes = load("drop:base", real)
    assert hashes(find_task("drop:base"), items) == FROZEN["real"]["drop:base"]
    assert notes == []


def test_real_questions_are_those_that_olmes_has_published(real: Path, shared: Path) -> None:
    """The shared rows hold each question as OLMES's own request files do."""
    rows = read_rows(shared / "data" / "drop" / "val1000_olmes_docs.jsonl.gz")
    for item, row in zip(load("drop", real)[0], rows, strict=True):
        assert item.prompt.text.endswith(f"\n\n{row['query']}")


@pytest.mark.parametrize("rows", [ROWS, LOCAL_ROWS], ids=["hub", "local"])
def test_questions_of_our_own(data: Path, rows: list[dict[str, Any]]) -> None:
    """The same three examples as OLMES draws from a training split of our own, of fifty rows."""
    write_rows(data, "drop/validation", rows)
    write_rows(data, "drop/train", TRAIN)
    items, notes = load("drop", data)
    assert notes == []
    assert_asks_as_olmes("drop", items)
    assert [int(part.split()[0]) for part in items[0].prompt.text.split("Harbor ")[1:]] == FROZEN["drawn"]["drop"]
    assert [(item.doc_id, item.answer) for item in items] == [(0, "5"), (1, "Anna, Ben"), (2, "3 May 1990")]


def test_questions_behind_a_description(data: Path) -> None:
    write_rows(data, "drop/validation", ROWS)
    describe(data)
    items, notes = load("drop:base", data)
    assert_asks_as_olmes("drop:base", items)
    assert items[0].prompt.text.startswith(f"{DESCRIPTION}Passage: ")
    assert notes == ["examples written by us instead of the published OLMES:drop (olmo2 fetch gets those)"]
    (data / "fewshot" / "olmes_descriptions.json").unlink()
    items, notes = load("drop:base", data)
    assert items[0].prompt.text.startswith("Passage: ")
    assert "without the published text fewshot/olmes_descriptions.json (olmo2 fetch gets it)" in notes


@pytest.mark.parametrize(
    ("place", "response", "exact_match", "f1"),
    [
        (0, " 5", 1, 1),
        (0, " five", 0, 0),
        (0, " 5 km", 1, 1),
        (0, " 5 miles", 0, 0.67),  # of two words one is right
        (0, " 4 km", 0, 0),  # without a right number nothing counts
        (0, "", 0, 0),
        (1, " Anna, Ben", 0, 0.33),  # one span, of which half matches one of two: 2/3 over 2 spans
        (2, " the 3 May, 1990.", 1, 1),
        (2, " 1990", 1, 1),
    ],
)
def test_grades(data: Path, place: int, response: str, exact_match: float, f1: float) -> None:
    write_rows(data, "drop/validation", ROWS)
    items, _ = load("drop", data)
    assert items[place].grade(response) == {"f1": pytest.approx(f1), "exact_match": exact_match}
