"""Scores of DROP's own examples by hand, and of its gold answers as they were measured with the published code."""

import gzip
import json
from pathlib import Path

import pytest

from olmo2.grading.drop_answer import bag_f1, normalised, score_drop_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The 1,511 Guarani.", "1511.0 guarani"),
        ("a 7.50-yard pass", "7.5 yard pass"),
        ("U.S. Army", "us army"),
        ("$1.50", "150.0"),  # as published: what is no number loses its point
        ("  An  apple\tpie ", "apple pie"),
        ("the", ""),
        ("", ""),
    ],
)
def test_words_and_numbers_are_brought_to_one_form(text: str, expected: str) -> None:
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("response", "answers", "exact", "f1"),
    [
        ("Swedish", [["swedish"]], 1, 1),
        (" 1,507", [["1507"], ["1477"]], 1, 1),
        ("1477.0 people", [["1507"], ["1477"]], 0, 0.67),
        ("1506", [["1507"]], 0, 0),  # another number
        ("five", [["5"]], 0, 0),
        ("Tom Brady", [["Brady"]], 0, 0.67),
        ("Tom Brady, Randy Moss", [["Tom Brady", "Randy Moss"]], 0, 0.33),  # one span of two
        ("Tom Brady", [["Tom Brady", "Randy Moss"]], 0, 0.5),
        ("", [["yes"]], 0, 0),
        ("", [[""]], 1, 1),
        ("inf", [["infinity"]], 1, 1),
    ],
)
def test_exact_match_and_f1(response: str, answers: list[list[str]], exact: float, f1: float) -> None:
    assert score_drop_answer(response, answers) == (exact, f1)


def test_no_answer_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no answer to compare with"):
        score_drop_answer("x", [])


def test_empty_bags_are_equal() -> None:
    assert bag_f1(set(), set()) == 1 and bag_f1(set(), {"x"}) == 0


def test_gold_answers_of_real_questions(shared: Path) -> None:
    """95.5% of the gold answers match exactly as one joined span: those of several spans cannot."""
    with gzip.open(shared / "data" / "drop" / "val1000_olmes_docs.jsonl.gz", "rt", encoding="utf-8") as file:
        labels = [json.loads(line)["label"] for line in file]
    found = [score_drop_answer(", ".join(answers[0]), answers) for answers in labels]
    assert len(found) == 1000 and sum(exact for exact, _ in found) == 955
    assert all(f1 == 1 for (exact, f1) in found if exact)
