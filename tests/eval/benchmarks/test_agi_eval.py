"""AGIEval: prompts as OLMES renders them, the marks before options, and what likelihoods are worth."""

from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.benchmarks.agi_eval import SETS
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, likelihoods, load, write_rows

OPTIONS = (
    ["(A)one", "(B) two", " (C)  three", "(D)(E) four"],
    [" A.one", "B. two", "C? three", "D four", "E.five"],
    ["(A)All", "(B)Both", "(C)Each", "(D)Fewer"],
    ["All", "Both", "None", "Few"],  # without a mark, a first letter from A to E is taken for one, as published
)
ROWS: list[dict[str, Any]] = [
    {
        "passage": ("", None, "A passage of our own,\nof two lines.")[number % 3],
        "question": f"Which one is it, of {name}?",
        "options": OPTIONS[number % 4],
        "label": "ABCDE"[number % len(OPTIONS[number % 4])],
    }
    for number, name in enumerate(SETS)
]


@pytest.fixture
def own(data: Path) -> Path:
    """A question of our own for every set."""
    for name, row in zip(SETS, ROWS, strict=True):
        write_rows(data, f"agieval/olmes_v1/{name}", [row])
    return data


def test_real_questions_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("agi_eval", real)
    assert hashes(find_task("agi_eval"), items) == FROZEN["real"]["agi_eval"]
    assert notes == []
    assert [sum(item.group == name for item in items) for name in SETS] == [230, 510, 269, 651, 220, 206, 254, 306]


def test_questions_of_our_own(own: Path) -> None:
    items, notes = load("agi_eval", own)
    assert_asks_as_olmes("agi_eval", items)
    assert [(item.doc_id, item.group) for item in items] == list(enumerate(SETS))
    assert items[2].question == "A passage of our own,\nof two lines.\nWhich one is it, of lsat-rc?"
    assert len(notes) == 8
    assert notes[0] == "examples written by us instead of the published agi_eval:lsat-ar (olmo2 fetch gets those)"


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (0, [" A. one", " B. two", " C. three", " D. (E) four"]),
        (1, [" A. one", " B. two", " C. three", " D. four", " E. five"]),
        (2, [" A. All", " B. Both", " C. Each", " D. Fewer"]),
        (3, [" A. ll", " B. oth", " C. None", " D. Few"]),
    ],
)
def test_marks_before_options_are_taken_off(own: Path, place: int, shown: list[str]) -> None:
    text = load("agi_eval", own)[0][place].options[0].prompt.text
    assert text.rpartition("?\n")[2].split("\n") == [*shown, "Answer:"]


def test_letters(own: Path) -> None:
    item = load("agi_eval", own)[0][1]  # of five options, the second is right
    assert [option.continuation for option in item.options] == [" A", " B", " C", " D", " E"]
    assert item.grade(likelihoods(-3.0, -1.0, -2.0, -2.0, -2.0))["acc_raw"] == 1
    assert item.grade(likelihoods(-3.0, -1.0, -0.5, -2.0, -2.0))["acc_raw"] == 0


def test_a_set_that_is_not_there_is_named(own: Path) -> None:
    (own / "agieval" / "olmes_v1" / "sat-en.jsonl").unlink()
    with pytest.raises(UsageError, match=r"there is no agieval/olmes_v1/sat-en.jsonl in "):
        load("agi_eval", own)
