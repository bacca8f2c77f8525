"""Which sequences an optimizer step reads, and how long they are, as a function of the step's number alone.

A run walks through the order of each epoch (olmo2/data/global_order.py) and takes the next n sequences for each step.
n may change at given counts of tokens (a batch-size schedule), and the sequences may be cut into shorter ones (a
sequence-length schedule: one of 4,096 tokens = four of 1,024). The sequences that do not fill the last step of
an epoch are left out. Tokens = those of the stage, padding included.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import Field

from olmo2.base.config import Count, Settings
from olmo2.base.errors import UsageError


class BatchChange(Settings):
    """A point of a batch-size schedule."""

    from_tokens: Count = Field(ge=0)
    """tokens of the stage after which it holds"""
    global_batch_tokens: Count = Field(ge=1)
    """tokens of one optimizer step from there on"""


class SeqLenChange(Settings):
    """A point of a sequence-length schedule."""

    from_tokens: Count = Field(ge=0)
    """tokens of the stage after which it holds"""
    seq_len: Count = Field(ge=2)
    """tokens of one training sequence from there on; it divides data.seq_len"""


@dataclass(frozen=True)
class Phase:
    """A stretch of a run in which the steps are alike. It begins with the first step after `from_tokens` tokens."""

    from_tokens: int
    sequences: int
    """of data.seq_len tokens, in each step"""
    seq_len: int
    """tokens of the pieces that they are cut into"""


@dataclass(frozen=True)
class StepSpan:
    """What one step reads."""

    step: int
    epoch: int
    """from 0"""
    first: int
    """place of its first sequence in the order of the epoch"""
    sequences: int
    """so many, one after the other"""
    seq_len: int
    """tokens of the pieces that they are cut into"""
    tokens_before: int
    """tokens that the steps before it have read"""
    tokens: int
    """tokens that it reads"""


@dataclass(frozen=True)
class _Start:
    """Where a phase begins."""

    step: int
    epoch: int
    first: int
    tokens: int


def make_phases(
    *,
    seq_len: int,
    global_batch_tokens: int,
    batch_schedule: Sequence[BatchChange] = (),
    seq_len_schedule: Sequence[SeqLenChange] = (),
) -> list[Phase]:
    """Merge two schedules into phases; before a schedule's first point, the plain setting holds.

    Raises UsageError naming the setting that does not fit.
    """
    batch_starts = [point.from_tokens for point in batch_schedule]
    seq_len_starts = [point.from_tokens for point in seq_len_schedule]
    for name, starts in (("run.batch_schedule", batch_starts), ("data.seq_len_schedule", seq_len_starts)):
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise UsageError(f"{name}: from_tokens must rise from entry to entry, not {starts}")
    for change in seq_len_schedule:
        if seq_len % change.seq_len:
            raise UsageError(f"data.seq_len_schedule: {change.seq_len} does not divide data.seq_len {seq_len}")
    phases = []
    for start in sorted({0, *batch_starts, *seq_len_starts}):
        batches = [point.global_batch_tokens for point in batch_schedule if point.from_tokens <= start]
        lengths = [point.seq_len for point in seq_len_schedule if point.from_tokens <= start]
        tokens = batches[-1] if batches else global_batch_tokens
        if tokens % seq_len:
            name = "batch_schedule: global_batch_tokens" if batches else "global_batch_tokens"
            raise UsageError(f"run.{name} {tokens} must be a multiple of seq_len {seq_len}")
        phases.append(Phase(start, tokens // seq_len, lengths[-1] if lengths else seq_len))
    return phases


class StepPlan:
    """The steps of a run over `num_sequences` sequences of `seq_len` tokens; they are numbered from 1."""

    def __init__(self, num_sequences: int, seq_len: int, phases: Sequence[Phase]) -> None:
        """Find where each phase begins, in time proportional to the number of phases.

        Raises UsageError if the data do not fill a batch.
        """
        assert phases and phases[0].from_tokens == 0
        largest = max(phase.sequences for phase in phases)
        if num_sequences < largest:
            raise UsageError(
                f"the data hold {num_sequences:,} sequences of {seq_len} tokens, fewer than one global "
                f"batch of {largest:,}; lower run.global_batch_tokens or data.seq_len, or add data"
            )
        self.num_sequences = num_sequences
        self.seq_len = seq_len
        self._phases = [phases[0]]
        self._starts = [_Start(step=1, epoch=0, first=0, tokens=0)]
        for phase in phases[1:]:
            step = self._first_step_after(phase.from_tokens)
            if step == self._starts[-1].step:  # a step of the phase before has leapt over all of this one's place
                self._phases[-1] = phase
                continue
            last = self.span(step - 1)
            self._phases.append(phase)
            self._starts.append(_Start(step, last.epoch, last.first + last.sequences, last.tokens_before + last.tokens))

    def span(self, step: int) -> StepSpan:
        """Return what optimizer step `step` reads; time grows with the logarithm of the number of phases."""
        assert step >= 1
        number = bisect_right(self._starts, step, key=lambda start: start.step) - 1
        phase, start = self._phases[number], self._starts[number]
        done = step - start.step
        steps_left_in_epoch = (self.num_sequences - start.first) // phase.sequences
        if done < steps_left_in_epoch:
            epoch, first = start.epoch, start.first + done * phase.sequences
        else:
            epochs, batch = divmod(done - steps_left_in_epoch, self.num_sequences // phase.sequences)
            epoch, first = start.epoch + 1 + epochs, batch * phase.sequences
        tokens = phase.sequences * self.seq_len
        return StepSpan(step, epoch, first, phase.sequences, phase.seq_len, start.tokens + done * tokens, tokens)

    def tokens_after(self, step: int) -> int:
        """Return the tokens that steps 1 to `step` read; 0 for step 0."""
        if step == 0:
            return 0
        span = self.span(step)
        return span.tokens_before + span.tokens

    def num_steps(
        self, *, total_tokens: int | None = None, total_steps: int | None = None, epochs: float | None = None
    ) -> int:
        """Return the steps of a run whose length is given in one of three ways; of tokens, the first step beyond.

        Raises UsageError for a length in epochs with a batch-size schedule.
        """
        if total_steps is not None:
            return total_steps
        if total_tokens is not None:
            return self._first_step_after(total_tokens) - 1
        assert epochs is not None
        if len({phase.sequences for phase in self._phases}) > 1:
            raise UsageError(
                "run.epochs says no number of steps where run.batch_schedule changes the batch; set run.total_tokens"
            )
        return max(1, round(epochs * (self.num_sequences // self._phases[0].sequences)))

    def _first_step_after(self, tokens: int) -> int:
        """Return the first step of the phases so far before which at least `tokens` tokens have been read."""
        number = bisect_right(self._starts, tokens, key=lambda start: start.tokens) - 1
        start = self._starts[number]
        return start.step - (start.tokens - tokens) // (self._phases[number].sequences * self.seq_len)
