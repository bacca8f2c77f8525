"""MMLU: prompts as OLMES renders them, in three settings, and what responses are worth."""

from pathlib import Path

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import (
    FROZEN,
    assert_asks_as_olmes,
    hashes,
    likelihoods,
    load,
    write_rows,
)

NAMES = ("mmlu", "mmlu:mc", "mmlu:base")
SUBJECTS = ("abstract_algebra", "world_religions")
CHOICES = ["none", "one ", " two", "(C)"]
ROWS = [
    {"question": f"Which is right,\nin {subject}?", "subject": subject, "choices": CHOICES, "answer": place}
    for place, subject in enumerate((*SUBJECTS, SUBJECTS[0]), 1)
]
DEV = [
    {"question": f"Example {number} of {subject}?", "subject": subject, "choices": list("wxyz"), "answer": number % 4}
    for subject in SUBJECTS
    for number in range(7)
]


@pytest.fixture
def own(data: Path) -> Path:
    """Rows of our own."""
    write_rows(data, "mmlu/test", ROWS)
    write_rows(data, "mmlu/dev", DEV)
    return data


@pytest.mark.parametrize("name", NAMES)
def test_real_questions_are_asked_as_olmes_asks_them(name: str, real: Path) -> None:
    items, notes = load(name, real)
    assert hashes(find_task(name), items) == FROZEN["real"][name]
    assert notes == []
    assert len({item.group for item in items}) == 57


@pytest.mark.parametrize("name", NAMES)
def test_questions_of_our_own(name: str, own: Path) -> None:
    items, notes = load(name, own)
    assert_asks_as_olmes(name, items)
    assert notes == []
    assert [(item.doc_id, item.group, item.answer) for item in items] == [
        (0, "abstract_algebra", "B"),
        (1, "world_religions", "C"),
        (2, "abstract_algebra", "D"),
    ]


def test_five_examples_of_the_same_subject_in_their_order(own: Path) -> None:
    text = load("mmlu:base", own)[0][1].options[0].prompt.text
    assert text.startswith("The following are multiple choice questions (with answers) about world religions.\n\n")
    assert text.count("Example") == text.count("of world_religions?") == 5
    assert [text.index(f"Example {number}") for number in range(5)] == sorted(
        text.index(f"Example {number}") for number in range(5)
    )
    turns = load("mmlu:mc", own)[0][1].options[0].prompt.turns
    assert [role for role, _ in turns] == ["user", "assistant"] * 5 + ["user"]
    assert [content for role, content in turns if role == "assistant"] == ["A", "B", "C", "D", "A"]


@pytest.mark.parametrize(
    ("response", "exact_match", "is_in_form"),
    [
        ("Summary. Therefore, the answer is: B", 1, 1),
        ("therefore the answer is (b).", 1, 1),
        ("The answer is B. Therefore, the answer is: A", 0, 1),
        ("I choose (B), not A", 1, 0),
        ("A or B", 1, 0),
        ("Beta", 0, 0),
        ("", 0, 0),
    ],
)
def test_grades_of_written_answers(own: Path, response: str, exact_match: float, is_in_form: float) -> None:
    scores = load("mmlu", own)[0][0].grade(response)
    assert scores == {"exact_match": exact_match, "answer_format_correct": is_in_form}


@pytest.mark.parametrize("name", ["mmlu:mc", "mmlu:base"])
def test_grades_of_letters(own: Path, name: str) -> None:
    item = load(name, own)[0][0]
    assert item.grade(likelihoods(-2.0, -1.0, -3.0, -4.0))["acc_raw"] == 1
    assert item.grade(likelihoods(-1.0, -2.0, -3.0, -4.0))["acc_raw"] == 0
    assert item.grade(likelihoods(-1.0, -1.0, -3.0, -4.0))["acc_raw"] == 0  # the first of equals


def test_examples_that_are_not_there_are_named(data: Path) -> None:
    write_rows(data, "mmlu/test", ROWS)
    with pytest.raises(UsageError, match=r"there is no mmlu/dev.jsonl in .*; put it there"):
        load("mmlu:base", data)
