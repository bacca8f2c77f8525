"""Choices -> the rows of a preference mix, or of data for supervised tuning; and what is known of each row's making."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from olmo2.rl.ask_pool import Candidate, Group
from olmo2.rl.candidate_scores import CandidateScore
from olmo2.rl.pair_choice import Choice

Row = Mapping[str, object]


@dataclass(frozen=True)
class Origin:
    """What all rows of one output were made with."""

    models: Mapping[str, Mapping[str, object]]
    """name -> hash of the folder or address of the server, engine and sampling"""
    seed: int
    scores: str
    """what rated the candidates"""
    judge: str | None
    """the judge's hash, or its address and name"""
    judge_prompts: str | None
    """a hash of what the judge was asked"""
    prompts: Sequence[str]
    """hashes of what the prompts were read from"""


def pair_row(group: Group, scores: Sequence[CandidateScore], choice: Choice, origin: Origin) -> Row:
    """Return a row of a preference mix in the columns of the published ones, with its provenance."""
    chosen, rejected = choice.chosen, choice.rejected
    assert rejected is not None, "a pair has two"
    prompt = group.prompt
    return {
        "id": prompt.id,
        "source": prompt.source,
        "prompt": prompt.text,
        "chosen": prompt.with_answer(chosen.candidate.response.text),
        "rejected": prompt.with_answer(rejected.candidate.response.text),
        "chosen_rating": chosen.rating,
        "rejected_rating": rejected.rating,
        "chosen_model": chosen.candidate.model,
        "rejected_model": rejected.candidate.model,
        "provenance": provenance(group, scores, origin),
    }


def sft_row(group: Group, scores: Sequence[CandidateScore], choice: Choice, origin: Origin) -> Row:
    """Return the best answer as a row for supervised tuning."""
    best = choice.chosen
    return {
        "id": group.prompt.id,
        "source": group.prompt.source,
        "messages": group.prompt.with_answer(best.candidate.response.text),
        "rating": best.rating,
        "model": best.candidate.model,
        "provenance": provenance(group, scores, origin),
    }


def provenance(group: Group, scores: Sequence[CandidateScore], origin: Origin) -> Row:
    """Return all that a row was made with, so that it can be made again and judged by others."""
    file, _, line = group.prompt.location.rpartition(":")
    named = {candidate.model for candidate in group.candidates}
    return {
        **vars(origin),
        "models": {name: identity for name, identity in origin.models.items() if name in named},
        "location": f"{Path(file).name}:{line}",
        "candidates": [about(each, score) for each, score in zip(group.candidates, scores, strict=True)],
    }


def about(candidate: Candidate, score: CandidateScore) -> Row:
    """Return what is known of a candidate besides its text."""
    response = candidate.response
    tokens = {"prompt_tokens": response.prompt_tokens, "completion_tokens": response.completion_tokens}
    row = {"model": candidate.model, "sample": candidate.sample, "rating": score.value}
    ratings = {"ratings": dict(score.ratings)} if score.ratings else {}
    return {**row, **ratings, **tokens, "is_unfinished": response.is_unfinished}
