"""MMLU-Pro: prompts as OLMES renders them, up to ten options, and what likelihoods are worth."""

from pathlib import Path
from typing import Any

from olmo2.eval.sources import read_rows
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, likelihoods, load, write_rows

CATEGORIES = ("computer science", "law")
ROWS = [
    {
        "question_id": number,
        "question": f"Which one of {category}?\nThink.",
        "options": [f" option {place}." for place in range(num)],
        "answer_index": num - 1,
        "category": category,
    }
    for number, (category, num) in enumerate([("law", 10), ("computer science", 3), ("law", 4)])
]
NOTE = "examples written by us instead of MMLU-Pro's validation split"


def validation(category: str) -> list[dict[str, Any]]:
    """More examples of our own than are shown, for one category."""
    return [
        {
            "question_id": number,
            "question": f"Made-up question {number} of {category}?",
            "options": [f"option {place} of {number}" for place in range(3 + number)],
            "answer_index": number % 3,
            "category": category,
        }
        for number in range(7)
    ]


def test_real_questions_are_asked_as_olmes_asks_them(real: Path, shared: Path) -> None:
    """Behind examples of our own: the published ones are not at hand."""
    rows = read_rows(shared / "data" / "mmlu_pro" / "test.jsonl.gz")
    categories = sorted({row["category"] for row in rows})
    write_rows(real, "mmlu_pro/validation", [row for category in categories for row in validation(category)])
    items, notes = load("mmlu_pro", real)
    assert hashes(find_task("mmlu_pro"), items) == FROZEN["real"]["mmlu_pro"]
    assert notes == [] and len(categories) == 14


def test_questions_of_our_own(data: Path) -> None:
    write_rows(data, "mmlu_pro/test", ROWS)
    write_rows(data, "mmlu_pro/validation", [row for category in CATEGORIES for row in validation(category)])
    items, notes = load("mmlu_pro", data)
    assert_asks_as_olmes("mmlu_pro", items)
    assert notes == []
    assert [(item.doc_id, item.group, item.answer) for item in items] == [
        (0, "law", "J"),
        (1, "computer science", "C"),
        (2, "law", "D"),
    ]
    text = items[0].options[0].prompt.text
    assert text.count("Made-up question") == text.count("of law?\n A.") == 5


def test_without_the_validation_split_examples_are_ours(data: Path) -> None:
    write_rows(data, "mmlu_pro/test", ROWS)
    items, notes = load("mmlu_pro", data)
    assert notes == [NOTE]
    assert_asks_as_olmes("mmlu_pro", items)


def test_ten_letters(data: Path) -> None:
    write_rows(data, "mmlu_pro/test", ROWS)
    item = load("mmlu_pro", data)[0][0]
    assert "".join(option.continuation for option in item.options) == " A B C D E F G H I J"
    assert item.grade(likelihoods(*[-2.0] * 9, -1.0))["acc_raw"] == 1
    assert item.grade(likelihoods(*[-2.0] * 9, -2.0))["acc_raw"] == 0
