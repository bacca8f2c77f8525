"""Spikes are found, one value at a time, and nothing cries wolf; the score is the paper's."""

import math
import statistics

import numpy as np
import pytest

from olmo2.optim.skip_step import SkipStepSettings, StepGuard
from olmo2.optim.spikes import MIN_STEPS, WINDOW_STEPS, RollingQuartiles, SpikeDetector, SpikeSeries, spike_score


def noisy(num: int, *, deviation: float = 0.02, seed: int = 0) -> np.ndarray:
    """Losses as of a warm-up: from 11 down to 2.5, with noise."""
    noise = np.random.default_rng(seed).standard_normal(num) * deviation
    return (2.5 + 8.5 * np.exp(-np.arange(num) / 150)) * np.exp(noise)


def spikes_of(values: np.ndarray) -> list[int]:
    series = SpikeSeries()
    return [place for place, value in enumerate(values) if series.is_spike(float(value))]


def test_quantiles_are_those_of_the_newest_values() -> None:
    rolling, values = RollingQuartiles(9), np.random.default_rng(1).integers(0, 5, 200).astype(float)
    for place, value in enumerate(values):
        rolling.add(float(value))
        window = sorted(values[max(0, place - 8) : place + 1])
        assert rolling.ordered == window and len(rolling) == len(window)
        if len(window) == 9:  # then the quartiles fall on values, and numpy needs no rule between two
            wanted = [float(np.quantile(window, share)) for share in (0.25, 0.5, 0.75)]
            assert [rolling.quantile(share) for share in (0.25, 0.5, 0.75)] == wanted


@pytest.mark.parametrize("deviation", [0.0, 0.001, 0.02, 0.1, 0.5])
def test_no_wolf_is_cried_in_warm_up_or_noise(deviation: float) -> None:
    assert spikes_of(noisy(20_000, deviation=deviation)) == []


def test_single_spikes_and_rows_of_them() -> None:
    values = noisy(3000)
    places = [900, 1500, 1501, 1502, 1503, 1504, 1505, 1506, 1507, 1508, 1509, 1510, 2999]
    values[places] *= 1.5
    assert spikes_of(values) == places
    window = list(values[1510 - 128 : 1510])  # the mean and deviation of the same steps hide the last of the row
    assert values[1510] < statistics.fmean(window) + 6 * statistics.stdev(window)


def test_a_new_level_becomes_usual() -> None:
    values = np.concatenate([noisy(1000), noisy(1000) * 2])
    values[1000:] = 5 * np.exp(0.02 * np.random.default_rng(3).standard_normal(1000))
    found = spikes_of(values)
    assert found[0] == 1000 and 20 < len(found) < WINDOW_STEPS


def test_nothing_before_enough_steps() -> None:
    assert spikes_of(np.array([1.0] * (MIN_STEPS - 1) + [100.0])) == []
    assert spikes_of(np.array([1.0] * MIN_STEPS + [100.0])) == [MIN_STEPS]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_a_spike_and_forgotten(value: float) -> None:
    series = SpikeSeries()
    assert series.is_spike(value) and len(series.logarithms) == 0


def test_losses_of_zero_are_no_error() -> None:
    assert spikes_of(np.array([0.0] * 100 + [1.0])) == [100]


def test_a_run_that_goes_on_finds_the_same() -> None:
    losses, norms = noisy(1300)[1000:], noisy(1300, seed=5)[1000:] / 3
    losses[250] *= 1.3
    norms[270] *= 3
    through, before, after = SpikeDetector(), SpikeDetector(), SpikeDetector()
    guard = StepGuard(None)
    wanted = [through.find(*pair) for pair in zip(losses, norms, strict=True)]
    found = []
    for pair in zip(losses[:200], norms[:200], strict=True):
        found.append(before.find(*pair))
        guard.accepts(*pair)
    after.restore(guard.history())
    found += [after.find(*pair) for pair in zip(losses[200:], norms[200:], strict=True)]
    assert found == wanted
    assert [place for place, flags in enumerate(found) if any(flags.values())] == [250, 270]
    assert found[250] == {"is_loss_spike": True, "is_grad_norm_spike": False}


def slow_score(values: list[float]) -> float:
    """The share of values seven deviations or more from the mean of up to 1,000 before them."""
    far = 0
    for place in range(MIN_STEPS, len(values)):
        window = values[max(0, place - 1000) : place]
        distance = abs(values[place] - statistics.fmean(window))
        far += distance >= 7 * statistics.pstdev(window) and distance > 1e-6 * abs(values[place])
    return far / len(values)


def test_score_equals_a_slow_loop() -> None:
    values = noisy(2500)
    values[[100, 900, 901, 2400]] *= 3
    values[1700] /= 3  # away from the mean means below it, too
    assert spike_score(values) == slow_score(list(values)) >= 3 / 2500
    assert spike_score([2.5] * 500) == 0.0
    assert spike_score([*[2.5] * 200, math.nan, *[2.5] * 200, 3.0]) == pytest.approx(1 / 401)
    assert spike_score([]) == spike_score([1.0]) == 0.0


def test_a_short_window_of_the_guard_does_not_shorten_what_is_remembered() -> None:
    guard = StepGuard(SkipStepSettings(window_steps=8, min_steps=8))
    for place in range(300):
        guard.accepts(2 + place % 7 / 100, 1.0)
    assert len(guard.history().losses) == WINDOW_STEPS
    assert not guard.accepts(3.0, 1.0), "the window itself is still the last 8"
