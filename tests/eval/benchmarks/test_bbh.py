"""BIG-Bench Hard: prompts as OLMES renders them, and what responses are worth."""

from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.benchmarks.bbh import SUBTASKS
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

ROWS = [{"input": f"Is {subtask} of our own?\nOptions:\n(A) no\n(B) yes", "target": "(B)"} for subtask in SUBTASKS]
HEAD = "Do not train on this.\n-----\n"


def write_subtasks(folder: Path) -> None:
    """Write one question for every subtask."""
    for subtask, row in zip(SUBTASKS, ROWS, strict=True):
        write_rows(folder, f"bbh/bbh/{subtask}", [row])


def test_real_questions_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("bbh", real)
    assert hashes(find_task("bbh"), items) == FROZEN["real"]["bbh"]
    assert notes == []


def test_questions_of_our_own(data: Path) -> None:
    write_subtasks(data)
    items, notes = load("bbh", data)
    assert_asks_as_olmes("bbh", items)
    assert [(item.doc_id, item.group) for item in items] == list(enumerate(SUBTASKS))
    assert len(notes) == 54  # of every subtask: examples of our own, and no description
    assert "without the published text bbh/cot-prompts/snarks.txt (olmo2 fetch gets it)" in notes
    assert len(items[0].prompt.turns) == 7


def test_the_description_opens_the_first_turn(data: Path) -> None:
    write_subtasks(data)
    file = data / "bbh" / "cot-prompts" / "snarks.txt"
    file.parent.mkdir()
    file.write_text(f"{HEAD}Find the mockery.\n\nQ: Is this?\nA: Let's think step by step.\nNo.", encoding="utf-8")
    turns = {item.group: item.prompt.turns for item in load("bbh", data)[0]}
    assert turns["snarks"][0][1].startswith("Find the mockery.\n\nQ: ")
    assert turns["snarks"][2][1].startswith("Q: ") and turns["navigate"][0][1].startswith("Q: ")


@pytest.mark.parametrize("text", ["", "Find the mockery.\n\nQ: Is this?", HEAD])
def test_a_text_without_a_description_is_damaged(data: Path, text: str) -> None:
    write_subtasks(data)
    file = data / "bbh" / "cot-prompts" / "snarks.txt"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"snarks.txt is damaged; delete it, then olmo2 fetch gets it anew"):
        load("bbh", data)


@pytest.mark.parametrize(
    ("subtask", "target", "response", "exact_match", "is_in_form"),
    [
        ("snarks", "(B)", "He means it. So the answer is (B).", 1, 1),
        ("snarks", "(B)", "The answer is (A), no, the answer is (B)", 1, 0),
        ("snarks", "(B)", "So the answer is (A).", 0, 1),
        ("snarks", "(B)", "", 0, 0),
        ("dyck_languages", "] }", "So the answer is ] }.", 1, 1),
        ("dyck_languages", "] }", "So the answer is ] ).", 0, 1),
        ("multistep_arithmetic_two", "-5", "So the answer is 5.", 1, 1),  # the sign is lost as published
        ("navigate", "Yes", "So the answer is YES", 1, 1),
    ],
)
def test_grades(data: Path, subtask: str, target: str, response: str, exact_match: float, is_in_form: float) -> None:
    write_subtasks(data)
    write_rows(data, f"bbh/bbh/{subtask}", [{"input": "What?", "target": target}])
    item: Any = next(item for item in load("bbh", data)[0] if item.group == subtask)
    assert item.grade(response) == {"exact_match": exact_match, "answer_format_correct": is_in_form}
