"""Scored candidates -> the chosen and the rejected one, or the best of them alone; and why there is no choice.

random_rejected   chosen = the best, rejected = any of the others, all as likely as each other
best_worst        chosen = the best, rejected = the worst

Equals are told apart by a draw that depends on the seed and the prompt alone.

Source   random_rejected is how the preference mixes of OLMo 2 were made (arXiv 2501.00656, section 5; the first to do
so were the makers of the cleaned UltraFeedback)
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from olmo2.base.config import Settings
from olmo2.base.seeds import stream_seed
from olmo2.rl.ask_pool import Candidate, Group
from olmo2.rl.candidate_scores import CandidateScore

EMPTY, UNFINISHED, UNRATED = "responses that are empty", "responses that are unfinished", "responses without a rating"
TOO_FEW = "prompts with fewer than two candidates"
NONE = "prompts without a candidate"
ALL_EQUAL = "prompts whose candidates are all rated equal"
SMALL_MARGIN = "pairs whose ratings differ by less than choice.min_margin"
LOW = "prompts whose best candidate is rated below choice.min_chosen_rating"


class ChoiceSettings(Settings):
    """How a pair is chosen among rated responses."""

    rule: Literal["random_rejected", "best_worst"] = "random_rejected"
    """random_rejected: the best against any other, as published; best_worst: the best against the worst"""
    min_margin: float = Field(default=0.0, ge=0)
    """pairs whose ratings differ by less are left out; with 0, random_rejected may pair equals, as published"""
    min_chosen_rating: float | None = None
    """prompts whose best response is rated lower are left out"""
    keep_unfinished: bool = False
    """let responses that reached max_new_tokens take part: they teach to stop in the middle of a sentence"""


@dataclass(frozen=True)
class Rated:
    """A candidate that takes part in the choice."""

    candidate: Candidate
    rating: float


@dataclass(frozen=True)
class Choice:
    """What is chosen for a prompt."""

    chosen: Rated
    rejected: Rated | None  # None where the best alone is asked for


def taking_part(
    group: Group, scores: Sequence[CandidateScore], settings: ChoiceSettings, dropped: Counter[str]
) -> list[Rated]:
    """Return the candidates that may be chosen or rejected, and count the others."""
    rated = []
    for candidate, score in zip(group.candidates, scores, strict=True):
        reason = reason_to_leave_out(candidate, settings)
        if reason is None and score.value is not None:
            rated.append(Rated(candidate, score.value))
        else:
            dropped[reason or UNRATED] += 1
    return rated


def reason_to_leave_out(candidate: Candidate, settings: ChoiceSettings) -> str | None:
    """Return in words why a candidate takes no part, however it may be rated; None if it does."""
    if not candidate.response.text.strip():
        return EMPTY
    return UNFINISHED if candidate.response.is_unfinished and not settings.keep_unfinished else None


def choose(
    group: Group, rated: Sequence[Rated], settings: ChoiceSettings, *, seed: int, best_alone: bool
) -> Choice | str:
    """Return what is chosen among candidates that take part, or in words why nothing is."""
    if not rated or (len(rated) < 2 and not best_alone):
        return TOO_FEW if not best_alone else NONE
    draw = random.Random(stream_seed(seed, f"choice {group.prompt.key}"))
    order = draw.sample(rated, len(rated))
    chosen = max(order, key=lambda each: each.rating)
    worst = min(order, key=lambda each: each.rating)
    if settings.min_chosen_rating is not None and chosen.rating < settings.min_chosen_rating:
        return LOW
    if best_alone:
        return Choice(chosen, None)
    if chosen.rating == worst.rating:
        return ALL_EQUAL
    rejected = worst
    if settings.rule == "random_rejected":
        rejected = draw.choice([each for each in order if each is not chosen])
    if chosen.rating - rejected.rating < settings.min_margin:
        return SMALL_MARGIN
    return Choice(chosen, rejected)
