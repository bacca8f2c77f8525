"""Scores by hand, and of real questions' own answers."""

import gzip
import json
from pathlib import Path

import pytest

from olmo2.grading.short_answer import contains_answer, normalised, score_short_answer, word_f1


@pytest.mark.parametrize(
    ("response", "answers", "exact", "f1"),
    [
        ("The Justin Timberlake.", ["Justin Timberlake"], 1, 1),
        ("Justin", ["Justin Timberlake"], 0, 2 / 3),
        ("it was Steve Hale", ['Steven "Steve" Hale', "Viper"], 0, 4 / 7),
        ("very very good", ["very good"], 0, 4 / 5),  # a word counts as often as it occurs
        ("", ["x"], 0, 0),
        ("the", ["an"], 1, 0),  # nothing is left of either
        ("Paris", ["London", "paris"], 1, 1),
    ],
)
def test_exact_match_and_f1(response: str, answers: list[str], exact: float, f1: float) -> None:
    found = score_short_answer(response, answers)
    assert found[0] == exact and found[1] == pytest.approx(f1)


def test_f1_is_the_mean_of_precision_and_recall() -> None:
    for written, gold in (("a b c", "b c d e"), ("x", "x y"), ("p q", "r")):
        common = len(set(written.split()) & set(gold.split()))
        precision, recall = common / len(written.split()), common / len(gold.split())
        expected = 2 * precision * recall / (precision + recall) if common else 0
        assert word_f1(written.split(), gold.split()) == pytest.approx(expected)


def test_no_answer_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no answer to compare with"):
        score_short_answer("x", [])


def test_punctuation_articles_and_space_do_not_count() -> None:
    assert normalised(" The  Theory, of\tan Ant!") == "theory of ant"


@pytest.mark.parametrize(
    ("response", "is_right"),
    [
        ("He was a politician.", True),
        ("Politician", True),
        ("POLITICIAN", False),
        ("a political  leader", False),
        ("Political leader of note", True),
        ("", False),
    ],
)
def test_an_alias_in_three_forms(response: str, is_right: bool) -> None:
    assert contains_answer(response, ["politician", "political leader"]) is is_right


def test_answers_of_real_questions_are_right(shared: Path) -> None:
    with gzip.open(shared / "data" / "naturalqs" / "val1000_olmes_docs.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        for answer in row["answers"]:
            assert score_short_answer(f" {answer}.", row["answers"])[0] == 1
            assert contains_answer(f"I think {answer} it is", row["answers"])
