"""Outliers and broken numbers never reach the weights; ordinary steps always do."""

import math
import statistics

import pytest

from olmo2.optim.skip_step import SkipStepSettings, StepGuard

NOISE = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.0]


def warmed_guard() -> StepGuard:
    guard = StepGuard(SkipStepSettings(window_steps=8, min_steps=4, max_deviations=6))
    assert all(guard.accepts(value, value) for value in NOISE)
    return guard


def test_limit_is_mean_plus_deviations() -> None:
    limit = statistics.fmean(NOISE) + 6 * statistics.stdev(NOISE)
    assert warmed_guard().accepts(limit - 1e-6, 1.0)
    assert not warmed_guard().accepts(limit + 1e-6, 1.0)
    assert not warmed_guard().accepts(1.0, limit + 1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("settings", [None, SkipStepSettings()])
def test_what_is_not_finite_is_always_refused(value: float, settings: SkipStepSettings | None) -> None:
    guard = StepGuard(settings)
    assert not guard.accepts(value, 1.0)
    assert not guard.accepts(1.0, value)
    assert guard.accepts(1.0, 1.0)


def test_nan_does_not_blind_later_comparisons() -> None:
    guard = warmed_guard()
    guard.accepts(math.nan, math.nan)
    assert not guard.accepts(100.0, 1.0)


def test_no_outliers_before_enough_steps() -> None:
    guard = StepGuard(SkipStepSettings(window_steps=8, min_steps=4))
    assert [guard.accepts(value, 1.0) for value in (1.0, 1.0, 50.0)] == [True] * 3


def test_history_survives_a_resume() -> None:
    guard, resumed = warmed_guard(), StepGuard(SkipStepSettings(window_steps=8, min_steps=4))
    resumed.restore(guard.history())
    assert not resumed.accepts(100.0, 1.0)
    assert list(resumed.losses) == [*guard.losses, 100.0]
