"""The mean over aspects, beside arithmetic; every reply that is no rating is asked for again or counted."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from olmo2.base.errors import RunError
from olmo2.eval.judge import NO_ROOM, OnReply, ignore
from olmo2.eval.task import JudgeQuestion, JudgeReply
from olmo2.rl import aspect_ratings
from olmo2.rl.aspect_prompts import ASK_AGAIN
from olmo2.rl.aspect_ratings import NOT_APPLICABLE, OFF, OFF_AT_FIRST, SILENT, RatingSettings, rate
from olmo2.rl.candidate_scores import Scored
from olmo2.rl.pair_choice import ChoiceSettings
from olmo2.rl.pool_model import Price
from tests.rl.pair_making import group_of, prompt_of

PROMPTS = {"wit": "wit|{prompt}|{response}", "truth": "truth|{prompt}|{response}"}
Say = Callable[[str, str], str | None]


class Scripted:
    """A judge that says of an aspect and a response what it is told to; None = the request fails."""

    name, identity, is_remote = "judge", "0123", True

    def __init__(self, say: Say, again: str = "Rating: 1") -> None:
        self.say, self.again, self.asked = say, again, list[JudgeQuestion]()

    def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
        """Reply to all."""
        self.asked += questions
        return [self.reply_to(question) for question in questions]

    def reply_to(self, question: JudgeQuestion) -> JudgeReply | str:
        """Reply to one."""
        turns = question.prompt.turns
        if len(turns) > 1:
            assert turns[-1] == ("user", ASK_AGAIN)
            return JudgeReply(self.again, {}, 20, 5)
        aspect, _, response = turns[0][1].split("|")
        said = self.say(aspect, response)
        return NO_ROOM if said == "no room" else "status 500" if said is None else JudgeReply(said, {}, 10, 2)


def rated(judge: Scripted, most_failed: float = 0.0, **settings: object) -> Scored:
    """Two responses to one prompt, rated."""
    groups = [group_of(prompt_of("?"), "first", "second")]
    rating = RatingSettings(**settings)  # type: ignore[arg-type]
    return rate(groups, judge, PROMPTS, rating, ChoiceSettings(), most_failed=most_failed)


def values_of(scored: Scored) -> list[list[float | None]]:
    return [[score.value for score in scores] for scores in scored.scores]


def values(scored: Scored) -> list[float | None]:
    return [score.value for score in scored.scores[0]]


def test_a_rating_is_the_mean_over_aspects_and_tokens_are_counted() -> None:
    ratings = {("wit", "first"): 2, ("truth", "first"): 5, ("wit", "second"): 1, ("truth", "second"): 1}
    judge = Scripted(lambda aspect, response: f"Rating: {ratings[aspect, response]}")
    scored = rated(judge, price=Price(prompt=1, completion=10))
    assert values(scored) == [3.5, 1.0]
    assert scored.scores[0][0].ratings == {"wit": 2, "truth": 5}
    tally = scored.judge["judge"]
    assert (tally.responses, tally.prompt_tokens, tally.completion_tokens) == (4, 40, 8)
    assert tally.cost == pytest.approx((40 + 80) / 1e6)
    assert judge.asked[0].prompt.turns == (("user", "wit|?|first"),)


def off(aspect: str, response: str) -> str:
    return "So so." if (aspect, response) == ("wit", "first") else "Rating: 4"


def test_a_reply_off_the_format_is_asked_for_once_more() -> None:
    judge = Scripted(off, again="Rating: 2")
    scored = rated(judge)
    assert values(scored) == [3.0, 4.0]
    assert [len(question.prompt.turns) for question in judge.asked] == [1, 1, 1, 1, 3]
    assert judge.asked[-1].prompt.turns[1] == ("assistant", "So so.")
    assert scored.counts[OFF_AT_FIRST] == 1 and scored.counts[OFF] == 0
    assert scored.judge["judge"].prompt_tokens == 60


def test_an_aspect_that_stays_off_the_format_is_missing() -> None:
    scored = rated(Scripted(off, again="Hm."))
    assert values(scored) == [None, 4.0]
    assert scored.scores[0][0].ratings == {"wit": None, "truth": 4}
    assert (scored.counts[OFF_AT_FIRST], scored.counts[OFF]) == (1, 1)
    assert values(rated(Scripted(off, again="Hm."), missing="mean_of_others")) == [4.0, 4.0]
    judge = Scripted(off)
    assert values(rated(judge, retries=0)) == [None, 4.0]
    assert len(judge.asked) == 4
    judge = Scripted(off, again="Hm.")
    assert values(rated(judge, retries=2)) == [None, 4.0]
    assert [len(question.prompt.turns) for question in judge.asked[4:]] == [3, 5]


def test_not_applicable_is_missing_or_what_the_setting_says() -> None:
    def say(aspect: str, response: str) -> str:
        return "Rating: N/A" if (aspect, response) == ("wit", "first") else "Rating: 4"

    judge = Scripted(say)
    scored = rated(judge)
    assert values(scored) == [None, 4.0]
    assert scored.counts[NOT_APPLICABLE] == 1 and len(judge.asked) == 4
    assert values(rated(Scripted(say), na_rating=-1)) == [1.5, 4.0]  # (-1 + 4) / 2, as published


def test_failures_are_missing_aspects_or_end_the_call() -> None:
    def say(aspect: str, response: str) -> str | None:
        return None if (aspect, response) == ("wit", "first") else "Rating: 4"

    with pytest.raises(RunError, match="the judge judge leaves 1 of 4 questions without a reply: status 500; repeat"):
        rated(Scripted(say))
    scored = rated(Scripted(say), most_failed=0.25)
    assert values(scored) == [None, 4.0]
    assert scored.counts[SILENT] == 1 and scored.judge["judge"].failed == 1
    crowded = rated(Scripted(lambda aspect, response: "no room"))
    assert values(crowded) == [None, None] and crowded.counts[f"ratings missing: {NO_ROOM}"] == 4


def test_what_takes_no_part_is_not_judged() -> None:
    group = group_of(prompt_of("?"), " ", "half", "whole")
    half = replace(group.candidates[1], response=replace(group.candidates[1].response, is_unfinished=True))
    group = replace(group, candidates=(group.candidates[0], half, group.candidates[2]))
    judge = Scripted(lambda aspect, response: "Rating: 3")
    scored = rate([group], judge, PROMPTS, RatingSettings(), ChoiceSettings(), most_failed=0)
    assert values(scored) == [None, None, 3.0]
    assert len(judge.asked) == 2


def test_many_groups_are_rated_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [group_of(prompt_of(str(number)), "x" * number, "yy", "zzz") for number in range(5)]
    judge = Scripted(lambda aspect, response: f"Rating: {len(response)}" if aspect == "wit" else "Rating: 1")
    settings = RatingSettings()
    together = rate(groups, judge, PROMPTS, settings, ChoiceSettings(), most_failed=0)
    monkeypatch.setattr(aspect_ratings, "GROUPS_AT_ONCE", 2)
    apart = rate(groups, judge, PROMPTS, settings, ChoiceSettings(), most_failed=0)
    assert apart == together
    assert values_of(apart) == [[None, 1.5, 2], [1, 1.5, 2], [1.5, 1.5, 2], [2, 1.5, 2], [2.5, 1.5, 2]]
