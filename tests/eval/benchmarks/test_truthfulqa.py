"""TruthfulQA: prompts as OLMES renders them, choices listed twice, and what likelihoods are worth."""

import math
from pathlib import Path
from typing import Any

import pytest

from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, likelihoods, load, write_rows

ROWS: list[dict[str, Any]] = [
    {
        "question": "Can a goose count?",
        "mc1_targets": {"choices": ["Up to a point.", "It counts to ten."], "labels": [1, 0]},
        "mc2_targets": {
            "choices": ["Up to a point.", "Perhaps.", "It counts to ten.", "It hates numbers."],
            "labels": [1, 1, 0, 0],
        },
    }
]
TWICE = {
    "question": "What weighs more?",
    "mc1_targets": {"choices": ["Neither.", "Lead.", "Lead.", "They are equal."], "labels": [1, 0, 0, 0]},
    "mc2_targets": {"choices": ["Neither.", "They are equal.", "Lead.", "Lead."], "labels": [1, 1, 0, 0]},
}


def test_real_questions_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("truthfulqa", real)
    assert hashes(find_task("truthfulqa"), items, [item.answer for item in items]) == FROZEN["real"]["truthfulqa"]
    assert notes == []


def test_a_question_of_our_own(data: Path) -> None:
    write_rows(data, "truthfulqa/validation", ROWS)
    items, notes = load("truthfulqa", data)
    assert_asks_as_olmes("truthfulqa", items)
    assert notes == ["examples written by us instead of the published Original:TruthfulQA (olmo2 fetch gets those)"]
    (turn,) = items[0].options[0].prompt.turns
    assert turn[1].count("Q: ") == 7


def test_grades_by_hand(data: Path) -> None:
    """Options are those of mc1, then what mc2 has besides: true, false, true, false."""
    write_rows(data, "truthfulqa/validation", ROWS)
    item = load("truthfulqa", data)[0][0]
    assert [option.continuation for option in item.options] == [
        " Up to a point.",
        " It counts to ten.",
        " Perhaps.",
        " It hates numbers.",
    ]
    scores = item.grade(likelihoods(*map(math.log, (0.1, 0.2, 0.4, 0.1))))
    assert scores == {"mc1": 0, "mc2": pytest.approx(0.5 / 0.8)}
    scores = item.grade(likelihoods(*map(math.log, (0.3, 0.2, 0.1, 0.4))))
    assert scores == {"mc1": 1, "mc2": pytest.approx(0.4 / 1.0)}
    assert item.grade(likelihoods(-2000.0, -2001.0, -3000.0, -3000.0)) == {
        "mc1": 1,
        "mc2": pytest.approx(1 / (1 + math.exp(-1))),
    }


def test_a_choice_that_is_listed_twice_is_one_and_true_if_it_is_true_once(data: Path) -> None:
    """Four texts, of which the last two were listed as false and as true, or as false twice."""
    write_rows(data, "truthfulqa/validation", [TWICE])
    item = load("truthfulqa", data)[0][0]
    assert [option.continuation for option in item.options] == [" Neither.", " Lead.", " They are equal."]
    scores = item.grade(likelihoods(*map(math.log, (0.1, 0.2, 0.5))))
    assert scores == {"mc1": 1, "mc2": pytest.approx(0.6 / 0.8)}
