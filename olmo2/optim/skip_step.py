"""Which optimizer steps to leave out: every one that is not finite, and outliers against recent history."""

import math
import statistics
from collections import deque
from itertools import islice

from pydantic import BaseModel, ConfigDict, Field

from olmo2.base.config import Settings

KEPT_STEPS = 128  # what the search for spikes needs to go on as it was


class SkipStepSettings(Settings):
    """When a step's loss or gradient norm is an outlier (defaults: OLMo-core's SkipStepAdamW, used for the 32B)."""

    window_steps: int = Field(default=128, ge=2)
    """how many recent steps are remembered"""
    min_steps: int = Field(default=64, ge=2)
    """no step is an outlier before this many are remembered"""
    max_deviations: float = Field(default=6.0, gt=0)
    """standard deviations above the mean from which on a step is skipped"""


class StepHistory(BaseModel):
    """The losses (nats) and gradient norms of recent steps, oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    losses: list[float]
    grad_norms: list[float]


class StepGuard:
    """Decides whether a step may reach the weights, from its loss and gradient norm.

    A value that is not finite is always refused and never remembered, so that it can poison neither weights nor
    the comparison of later steps. The history belongs to the state of a run, and is kept without settings too: spikes
    are found by it.
    """

    def __init__(self, settings: SkipStepSettings | None) -> None:
        self.settings = settings
        window = max(settings.window_steps if settings else 0, KEPT_STEPS)
        self.losses: deque[float] = deque(maxlen=window)
        self.grad_norms: deque[float] = deque(maxlen=window)

    def accepts(self, loss: float, grad_norm: float) -> bool:
        """Return whether to take this step, and remember its values."""
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return False
        is_outlier = self.is_outlier(loss, self.losses) or self.is_outlier(grad_norm, self.grad_norms)
        self.losses.append(loss)
        self.grad_norms.append(grad_norm)
        return not is_outlier

    def is_outlier(self, value: float, history: deque[float]) -> bool:
        """Return whether `value` lies further above the mean of `history` than allowed."""
        if self.settings is None:
            return False
        window = list(islice(history, max(len(history) - self.settings.window_steps, 0), None))
        if len(window) < self.settings.min_steps:
            return False
        limit = statistics.fmean(window) + self.settings.max_deviations * statistics.stdev(window)
        return value > limit

    def history(self) -> StepHistory:
        """Return what is remembered."""
        return StepHistory(losses=list(self.losses), grad_norms=list(self.grad_norms))

    def restore(self, history: StepHistory) -> None:
        """Take up a history returned by `history`."""
        self.losses.extend(history.losses)
        self.grad_norms.extend(history.grad_norms)
