"""GSM8K: prompts as OLMES renders them, and what right, wrong and odd responses are worth."""

from pathlib import Path

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.task_list import find_task
from olmo2.grading.last_number import extract_last_number
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

ROWS = [
    {
        "question": "Ida has 1,200 stamps and buys 30 more.  How many has she? ",
        "answer": "She has 1200+30=<<1200+30=1230>>1230 stamps.\n#### 1,230",
    },
    {"question": "It was 5 degrees and fell by 8. How warm is it?", "answer": "It is 5-8=<<5-8=-3>>-3.\n#### -3"},
]


@pytest.mark.parametrize("name", ["gsm8k", "gsm8k:base"])
def test_real_problems_are_asked_as_olmes_asks_them(name: str, real: Path) -> None:
    items, notes = load(name, real)
    answers = [extract_last_number(item.answer) for item in items]
    assert hashes(find_task(name), items, answers) == FROZEN["real"][name]
    assert notes == []


@pytest.mark.parametrize("name", ["gsm8k", "gsm8k:base"])
def test_problems_of_our_own(name: str, data: Path) -> None:
    write_rows(data, "gsm8k/test", ROWS)
    items, notes = load(name, data)
    assert_asks_as_olmes(name, items)
    assert notes == ["examples written by us instead of the published STD:GSM8k (olmo2 fetch gets those)"]
    assert [item.doc_id for item in items] == [0, 1]
    assert [item.answer for item in items] == ["1,230", "-3"]


@pytest.mark.parametrize(
    ("row", "response", "published", "by_value"),
    [
        (0, " She has 1,200 + 30 = 1,230 stamps. So the answer is 1,230.", 1, 1),
        (0, " So the answer is 1230", 1, 1),
        (0, " So the answer is $1230.00.", 0, 1),  # "1230.00" is not "1230" as published
        (0, " So the answer is 1230. That is 30 more.", 0, 1),  # the last number is another one
        (0, " So the answer is 1240.", 0, 0),
        (0, "", 0, 0),
        (1, " So the answer is -3.", 1, 1),
        (1, " So the answer is 3.", 1, 0),  # a sign is lost as published
    ],
)
def test_grades(data: Path, row: int, response: str, published: float, by_value: float) -> None:
    write_rows(data, "gsm8k/test", ROWS)
    scores = load("gsm8k", data)[0][row].grade(response)
    assert scores == {"exact_match": published, "exact_value": by_value}


def test_a_row_without_its_answer_is_named(data: Path) -> None:
    write_rows(data, "gsm8k/test", [{"question": "How many?"}])
    with pytest.raises(UsageError, match=r"test.jsonl:1: the row has no field 'answer'"):
        load("gsm8k", data)
