"""Choices beside a slow reading of the rules, draws that are fair, and reasons for no choice."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from olmo2.rl.candidate_scores import CandidateScore
from olmo2.rl.pair_choice import (
    ALL_EQUAL,
    EMPTY,
    LOW,
    NONE,
    SMALL_MARGIN,
    TOO_FEW,
    UNFINISHED,
    UNRATED,
    Choice,
    ChoiceSettings,
    Rated,
    choose,
    taking_part,
)
from tests.rl.pair_making import group_of, prompt_of

WORST = ChoiceSettings(rule="best_worst")
RANDOM = ChoiceSettings()


def rated(ratings: list[float], key: str = "?") -> tuple[object, list[Rated]]:
    """A group of as many candidates, all taking part."""
    group = group_of(prompt_of(key), *map(str, range(len(ratings))))
    scores = [CandidateScore(rating) for rating in ratings]
    return group, taking_part(group, scores, RANDOM, Counter())


def choice_of(ratings: list[float], settings: ChoiceSettings, key: str = "?", *, best_alone: bool = False) -> object:
    group, candidates = rated(ratings, key)
    return choose(group, candidates, settings, seed=0, best_alone=best_alone)  # type: ignore[arg-type]


def test_the_best_is_chosen_and_the_worst_or_any_other_rejected() -> None:
    draw = random.Random(0)
    for number in range(200):
        ratings = [draw.randint(1, 5) for _ in range(4)]
        for settings in (WORST, RANDOM):
            found = choice_of(ratings, settings, str(number))
            if min(ratings) == max(ratings):
                assert found == ALL_EQUAL
                continue
            assert isinstance(found, Choice) and found.rejected is not None
            assert found.chosen.rating == max(ratings)
            assert found.chosen.candidate != found.rejected.candidate
            assert found.rejected.rating == ratings[int(found.rejected.candidate.response.text)]
            if settings is WORST:
                assert found.rejected.rating == min(ratings)


def test_the_rejected_one_is_any_of_the_others_as_often_and_equals_are_drawn() -> None:
    rejected, chosen = Counter[str](), Counter[str]()
    for number in range(600):
        found = choice_of([1, 5, 2, 3], RANDOM, str(number))
        assert isinstance(found, Choice) and found.rejected is not None
        rejected[found.rejected.candidate.model] += 1
        tied = choice_of([5, 5, 1], WORST, str(number))
        assert isinstance(tied, Choice)
        chosen[tied.chosen.candidate.model] += 1
    assert set(rejected) == {"a", "c", "d"} and min(rejected.values()) > 150, rejected
    assert set(chosen) == {"a", "b"} and min(chosen.values()) > 240, chosen
    assert choice_of([1, 5, 2, 3], RANDOM, "7") == choice_of([1, 5, 2, 3], RANDOM, "7")


def test_a_pair_may_be_of_equals_as_published_unless_a_margin_is_asked_for() -> None:
    found = [choice_of([5, 5, 1], RANDOM, str(number)) for number in range(50)]
    assert any(isinstance(each, Choice) and each.rejected and each.rejected.rating == 5 for each in found)
    kept = [choice_of([5, 5, 1], ChoiceSettings(min_margin=0.5), str(number)) for number in range(50)]
    assert {each for each in kept if not isinstance(each, Choice)} == {SMALL_MARGIN}
    assert all(each.rejected.rating == 1 for each in kept if isinstance(each, Choice) and each.rejected)


@pytest.mark.parametrize(
    ("ratings", "settings", "best_alone", "reason"),
    [
        ([], RANDOM, False, TOO_FEW),
        ([3], RANDOM, False, TOO_FEW),
        ([], RANDOM, True, NONE),
        ([3, 3, 3], WORST, False, ALL_EQUAL),
        ([3, 2], ChoiceSettings(rule="best_worst", min_margin=1.5), False, SMALL_MARGIN),
        ([3, 2], ChoiceSettings(min_chosen_rating=4), False, LOW),
        ([3], ChoiceSettings(min_chosen_rating=4), True, LOW),
    ],
)
def test_no_choice_has_a_reason(ratings: list[float], settings: ChoiceSettings, best_alone: bool, reason: str) -> None:
    assert choice_of(ratings, settings, best_alone=best_alone) == reason


def test_the_best_alone_needs_no_other() -> None:
    found = choice_of([2, 2], RANDOM, best_alone=True)
    assert isinstance(found, Choice) and found.rejected is None
    found = choice_of([2], RANDOM, best_alone=True)
    assert isinstance(found, Choice) and found.chosen.rating == 2


def test_empty_unfinished_and_unrated_responses_take_no_part_and_are_counted() -> None:
    group = group_of(prompt_of("?"), " ", "half", "whole", "unrated")
    half = replace(group.candidates[1], response=replace(group.candidates[1].response, is_unfinished=True))
    group = replace(group, candidates=(group.candidates[0], half, *group.candidates[2:]))
    scores = [CandidateScore(value) for value in (5.0, 4.0, 3.0, None)]
    dropped = Counter[str]()
    assert [each.rating for each in taking_part(group, scores, RANDOM, dropped)] == [3.0]
    assert dropped == {EMPTY: 1, UNFINISHED: 1, UNRATED: 1}
    kept = taking_part(group, scores, ChoiceSettings(keep_unfinished=True), Counter())
    assert [each.rating for each in kept] == [4.0, 3.0]
