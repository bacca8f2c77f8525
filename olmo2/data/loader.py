"""Hand every rank its share of each optimizer step's global batch, in an order that depends on the seed alone.

What a step reads is a pure function of its number, so a run resumes at any step by asking for that step,
and the global batch is the same for any number of ranks.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from olmo2.base.errors import UsageError
from olmo2.data.batch import Batch, Sequences
from olmo2.data.global_order import load_order
from olmo2.data.step_plan import Phase, StepPlan


class Loader:
    """The batches of a run, by the number of the optimizer step (the first is 1)."""

    def __init__(
        self,
        sequences: Sequences,
        *,
        global_batch_sequences: int | None = None,
        phases: Sequence[Phase] = (),
        seed: int,
        first_epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        order: Path | None = None,
    ) -> None:
        """Prepare the loader; nothing is read or shuffled before the first batch.

        Every step reads `global_batch_sequences`, or what the `phases` of a schedule say (make_phases).
        The order of the first epoch is that of `first_epoch`, of the next one that of first_epoch + 1, ...
        `order` is a folder in which rank 0 saves the order of each epoch, so that other ranks and a resumed run map it
        instead of shuffling again. Raises UsageError if the ranks cannot share a global batch evenly or if the data
        do not fill one.
        """
        assert (global_batch_sequences is None) == bool(phases)
        phases = phases or [Phase(0, global_batch_sequences or 0, sequences.seq_len)]
        for phase in phases:
            if phase.sequences % world_size:
                raise UsageError(
                    f"the global batch of {phase.sequences} sequences is not a multiple of the {world_size} ranks "
                    "that share it; change run.global_batch_tokens (sequences x seq_len) or the number of ranks"
                )
        self.sequences = sequences
        self.plan = StepPlan(len(sequences), sequences.seq_len, phases)
        self.seed = seed
        self.first_epoch = first_epoch
        self.rank = rank
        self.world_size = world_size
        self._order_folder = order
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """The steps of one pass over the data with a batch that does not change."""
        return self.plan.num_steps(epochs=1)

    def batch(self, step: int) -> Batch:
        """Read this rank's share of the global batch of optimizer step `step`.

        Each epoch shuffles anew; its last sequences that do not fill a global batch are left out.
        """
        span = self.plan.span(step)
        whole = self._epoch_order(span.epoch)[span.first : span.first + span.sequences]
        share = np.asarray(whole[self.rank :: self.world_size], dtype=np.int64)
        return self.sequences.batch(share).cut(span.seq_len)

    def batches(self, first_step: int, last_step: int) -> Generator[Batch, None, None]:
        """Yield the batches of `first_step` to `last_step`.

        A thread reads one batch ahead; closing the generator ends it. An error in the thread is raised here.
        """
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader") as thread:
            ahead = thread.submit(self.batch, first_step)
            for step in range(first_step, last_step + 1):
                batch = ahead.result()
                if step < last_step:
                    ahead = thread.submit(self.batch, step + 1)
                yield batch

    def save_orders(self, first_step: int, last_step: int) -> None:
        """Compute and save the order of every epoch that these steps read, unless it is there.

        For one rank to call while the others wait: each that computes the order of 4T tokens holds four gigabytes.
        """
        if self._order_folder is None:
            return
        for epoch in range(self.plan.span(first_step).epoch, self.plan.span(last_step).epoch + 1):
            self._load_order(epoch, is_saver=True)

    def _load_order(self, epoch: int, *, is_saver: bool) -> np.ndarray:
        """Return the order of `epoch`, counted from 0: (n,) uint32."""
        number, together = self.first_epoch + epoch, self.sequences.shuffle_together
        return load_order(self._order_folder, len(self.sequences), self.seed, number, together, is_saver=is_saver)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """Return the order of `epoch`, (n,) uint32; that of one epoch is kept."""
        kept = self._order
        if kept is None or kept[0] != epoch:
            kept = self._order = None  # let the last epoch's go before the next one is made
            kept = self._order = (epoch, self._load_order(epoch, is_saver=self.rank == 0))
        return kept[1]
