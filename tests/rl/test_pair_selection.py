"""Everything that is not a row is counted once, with its reason; rows keep the order of the prompts."""

from olmo2.rl.candidate_scores import CandidateScore
from olmo2.rl.pair_choice import ALL_EQUAL, TOO_FEW, UNRATED, ChoiceSettings
from olmo2.rl.pair_filters import EQUAL, SPECIAL, Filters, FilterSettings
from olmo2.rl.pair_rows import Origin
from olmo2.rl.pair_selection import select
from tests.rl.pair_making import group_of, prompt_of

ORIGIN = Origin({"a": {}, "b": {}}, 0, "judge", None, None, [])


def test_rows_and_reasons_add_up_to_the_prompts() -> None:
    texts = (("So.", "No."), ("So.", "So."), ("So.", "No."), ("So.", "No."), ("<|user|>", "No."), ("Yes.", "No."))
    values = ((2, 1), (2, 1), (2, 2), (2, None), (2, 1), (1, 2))
    groups = [group_of(prompt_of(str(number)), *each) for number, each in enumerate(texts)]
    scores = [[CandidateScore(value) for value in each] for each in values]
    found = select(groups, scores, Filters(FilterSettings()), ChoiceSettings(), ORIGIN, is_sft=False)
    assert [row["id"] for row in found.rows] == ["0", "5"]
    assert found.dropped == {EQUAL: 1, ALL_EQUAL: 1, UNRATED: 1, TOO_FEW: 1, f"pairs: {SPECIAL}": 1}
    assert (found.chosen, found.rejected) == ({"a": 1, "b": 1}, {"a": 1, "b": 1})
    assert (found.chosen_sum, found.rejected_sum, found.num_equal) == (4, 2, 0)
    best = select(groups, scores, Filters(FilterSettings()), ChoiceSettings(), ORIGIN, is_sft=True)
    assert [row["id"] for row in best.rows] == ["0", "1", "2", "3", "5"]
    assert best.dropped == {UNRATED: 1, f"pairs: {SPECIAL}": 1}
