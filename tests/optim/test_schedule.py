"""Learning rates: the published ends of stages, and the shape between."""

import pytest
from pydantic import ValidationError

from olmo2.optim.schedule import ScheduleSettings, learning_rate

TERA = 10**12


@pytest.mark.parametrize(
    ("peak_lr", "warmup_tokens", "horizon_tokens", "tokens", "expected"),
    [  # end of stage 1; sources: the published stage-2 configs (1B, 7B, 13B) and OLMo-core's 32B script
        (4e-4, 8_388_608_000, 5 * TERA, 1_907_359 * 2_097_152, 7.44873e-5),
        (3e-4, 8_388_608_000, 5 * TERA, 928_000 * 4_194_304, 6.14988e-5),
        (9e-4, 8_388_608_000, 5 * TERA, 596_057 * 8_388_608, 9e-5),
        (6e-4, 2_000 * 8_388_608, 774_861 * 8_388_608, 721_901 * 8_388_608, 6.62323e-5),
    ],
)
def test_published_rates_at_the_end_of_stage_1(
    peak_lr: float, warmup_tokens: int, horizon_tokens: int, tokens: int, expected: float
) -> None:
    settings = ScheduleSettings(warmup_tokens=warmup_tokens, horizon_tokens=horizon_tokens)
    assert learning_rate(settings, peak_lr, tokens, 4 * TERA) == pytest.approx(expected, rel=1e-5)


def test_warmup_rises_from_zero_to_the_peak() -> None:
    settings = ScheduleSettings(warmup_tokens=100, decay="constant")
    assert [learning_rate(settings, 2.0, tokens, 1000) for tokens in (0, 25, 50, 100, 900)] == [0, 0.5, 1, 2, 2]


def test_linear_to_zero() -> None:
    settings = ScheduleSettings(decay="linear", final_lr_ratio=0)
    rates = [learning_rate(settings, 1.0, tokens, 50) for tokens in (0, 10, 25, 50, 60)]
    assert rates == pytest.approx([1, 0.8, 0.5, 0, 0])


@pytest.mark.parametrize(("steps", "batch"), [(23_842, 2_097_152), (11_921, 4_194_304)])
def test_stage_2_reaches_zero_at_fifty_billion_tokens(steps: int, batch: int) -> None:
    """The published runs of 50B tokens have decayed after these steps and spend ten more at rate 0."""
    settings = ScheduleSettings(decay="linear", final_lr_ratio=0, horizon_tokens=50_000_000_000)
    assert learning_rate(settings, 1e-4, (steps - 1) * batch, 0) > 0
    assert learning_rate(settings, 1e-4, steps * batch, 0) == 0


def test_cosine_midpoint_and_floor() -> None:
    settings = ScheduleSettings(warmup_tokens=100, final_lr_ratio=0.1)
    assert learning_rate(settings, 1.0, 600, 1100) == pytest.approx(0.55)  # halfway between peak and floor
    assert learning_rate(settings, 1.0, 5000, 1100) == pytest.approx(0.1)


def test_warmup_as_a_share() -> None:
    settings = ScheduleSettings(warmup_ratio=0.1, decay="linear", final_lr_ratio=0)
    assert learning_rate(settings, 1.0, 50, 1000) == pytest.approx(0.5)
    assert learning_rate(settings, 1.0, 100, 1000) == pytest.approx(1.0)


def test_two_warmups_are_refused() -> None:
    with pytest.raises(ValidationError, match="warmup_tokens or warmup_ratio"):
        ScheduleSettings(warmup_tokens=5, warmup_ratio=0.1)


def test_the_warmup_may_start_above_zero() -> None:
    """A tenth of the peak is where the old trainer started unless told otherwise (Scheduler._linear_warmup)."""
    settings = ScheduleSettings(warmup_tokens=100, initial_lr_ratio=0.1, decay="constant")
    assert [learning_rate(settings, 2.0, tokens, 1000) for tokens in (0, 50, 100)] == pytest.approx([0.2, 1.1, 2.0])


def test_a_second_warmup_meets_the_schedule() -> None:
    """allenai/OLMo olmo/optim.py, BoltOnWarmupScheduler: from 0 to the rate at the end of the second warm-up."""
    once = ScheduleSettings(warmup_tokens=100, decay="linear", final_lr_ratio=0)
    again = ScheduleSettings(warmup_tokens=100, decay="linear", final_lr_ratio=0, rewarm_at_tokens=500)
    meeting = learning_rate(once, 1.0, 600, 1000)
    rates = [learning_rate(again, 1.0, tokens, 1000) for tokens in (500, 525, 575, 599)]
    assert rates == pytest.approx([0, 0.25 * meeting, 0.75 * meeting, 0.99 * meeting])
    for tokens in (50, 499, 600, 601, 999):
        assert learning_rate(again, 1.0, tokens, 1000) == learning_rate(once, 1.0, tokens, 1000)


def test_a_horizon_within_the_warm_up_is_refused() -> None:
    with pytest.raises(ValidationError, match="horizon_tokens 100 must lie beyond warmup_tokens 200"):
        ScheduleSettings(warmup_tokens=200, horizon_tokens=100)
