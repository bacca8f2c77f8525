"""Rated groups -> rows to write: the choice, what is left out of it, and a count of everything that is dropped."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from olmo2.rl.ask_pool import Group
from olmo2.rl.candidate_scores import Scores
from olmo2.rl.pair_choice import ChoiceSettings, choose, taking_part
from olmo2.rl.pair_filters import Filters
from olmo2.rl.pair_rows import Origin, Row, pair_row, sft_row


@dataclass
class Selection:
    """The rows, and why there are not more."""

    rows: list[Row] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    """reason -> prompts, pairs or responses"""
    num_equal: int = 0
    """pairs whose ratings are equal"""
    chosen: Counter[str] = field(default_factory=Counter)
    """by model"""
    rejected: Counter[str] = field(default_factory=Counter)
    chosen_sum: float = 0.0
    """of the ratings"""
    rejected_sum: float = 0.0


def select(
    groups: Sequence[Group], scores: Scores, filters: Filters, settings: ChoiceSettings, origin: Origin, *, is_sft: bool
) -> Selection:
    """Choose for every group, leave out what filters name, and return the rows in the order of the groups."""
    found = Selection()
    for group, of_group in zip(groups, scores, strict=True):
        rated = taking_part(group, of_group, settings, found.dropped)
        choice = choose(group, rated, settings, seed=origin.seed, best_alone=is_sft)
        reason = choice if isinstance(choice, str) else filters.reason_against_pair(group.prompt, choice)
        if isinstance(choice, str) or reason is not None:
            found.dropped[str(reason)] += 1
            continue
        found.rows.append((sft_row if is_sft else pair_row)(group, of_group, choice, origin))
        found.chosen[choice.chosen.candidate.model] += 1
        found.chosen_sum += choice.chosen.rating
        if choice.rejected is not None:
            found.rejected[choice.rejected.candidate.model] += 1
            found.rejected_sum += choice.rejected.rating
            found.num_equal += choice.chosen.rating == choice.rejected.rating
    return found
