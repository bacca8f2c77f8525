"""Win rates by hand, and those of the published leaderboard from the published annotations."""

import json
import math
from pathlib import Path

import pytest

from olmo2.eval.annotation_file import read_annotations
from olmo2.eval.win_rate import win_rate, wins_of


def test_every_number_by_hand() -> None:
    rate = win_rate([1, 1.25, 1.5, 0, 1.75, 2], [10, 20, 30, 40, 50, 61])
    assert rate.value == 0.5  # (0 + 0.25 + 0.5 + 0.5 + 0.75 + 1) / 6
    assert rate.standard_error == pytest.approx(math.sqrt((0.25 + 0.0625 + 0.0625 + 0.25) / 5 / 6))
    assert (rate.num_items, rate.num_wins, rate.num_losses, rate.num_draws) == (6, 2, 2, 2)
    assert rate.discrete == 0.5
    assert rate.average_length == 35  # 211 / 6, rounded down


def test_a_pair_says_nothing_of_how_much_pairs_differ() -> None:
    assert win_rate([2], [5]).standard_error is None


@pytest.mark.parametrize("preference", [0.99, 2.01, -1, math.nan, math.inf])
def test_what_is_no_preference_is_refused(preference: float) -> None:
    with pytest.raises(ValueError, match="must be a number from 1 to 2"):
        wins_of([1.5, preference])


def test_nothing_and_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="no judged pair"):
        win_rate([], [])
    with pytest.raises(ValueError, match="1 lengths of responses for 2 preferences"):
        win_rate([1, 2], [3])


@pytest.mark.parametrize("model", ["claude-2", "vicuna-13b"])
def test_the_published_leaderboard(shared: Path, model: str) -> None:
    folder = shared / "data" / "alpaca_eval"
    published = json.loads((folder / "dev_expected.json").read_text(encoding="utf-8"))[model]["published"]
    annotations = read_annotations(folder / f"annotations_{model}.json.gz", model=model)
    rate = win_rate(annotations.preferences, annotations.lengths_model)
    assert rate.standard_error is not None
    assert rate.value * 100 == pytest.approx(published["win_rate"], abs=1e-6)
    assert rate.standard_error * 100 == pytest.approx(published["standard_error"], abs=1e-6)
    assert rate.discrete * 100 == pytest.approx(published["discrete_win_rate"], abs=1e-6)
    assert (rate.num_wins, rate.num_losses, rate.num_draws, rate.num_items, rate.average_length) == tuple(
        published[name] for name in ("n_wins", "n_wins_base", "n_draws", "n_total", "avg_length")
    )
