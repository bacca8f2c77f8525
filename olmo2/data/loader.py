"""Hand every rank its share of each optimizer step's global batch, in an order that depends on the seed alone.

What a step reads is a pure function of its number, so a run resumes at any step by asking for that step,
and the global batch is the same for any number of ranks.
"""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from olmo2.base.errors import UsageError
from olmo2.data.batch import Batch, Sequences
from olmo2.data.global_order import global_order, order_path, read_order, write_order


class Loader:
    """The batches of a run, by the number of the optimizer step (the first is 1)."""

    def __init__(
        self,
        sequences: Sequences,
        *,
        global_batch_sequences: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        order: Path | None = None,
    ) -> None:
        """Prepare the loader; nothing is read or shuffled before the first batch.

        `order` is a folder in which rank 0 saves the order of each epoch, so that a resumed run maps it instead
        of shuffling again. Raises UsageError if the ranks cannot share a global batch evenly or if the data
        do not fill one.
        """
        if global_batch_sequences % world_size:
            raise UsageError(
                f"the global batch of {global_batch_sequences} sequences is not a multiple of the {world_size} ranks "
                "that share it; change run.global_batch_tokens (sequences x seq_len) or the number of ranks"
            )
        if len(sequences) < global_batch_sequences:
            raise UsageError(
                f"the data hold {len(sequences):,} sequences of {sequences.seq_len} tokens, fewer than one global "
                f"batch of {global_batch_sequences:,}; lower run.global_batch_tokens or data.seq_len, or add data"
            )
        self.sequences = sequences
        self.global_batch_sequences = global_batch_sequences
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.steps_per_epoch = len(sequences) // global_batch_sequences
        self._order_folder = order
        self._order: tuple[int, np.ndarray] | None = None

    def batch(self, step: int) -> Batch:
        """Read this rank's share of the global batch of optimizer step `step`.

        Each epoch shuffles anew; its last sequences that do not fill a global batch are left out.
        """
        assert step >= 1
        epoch, batch = divmod(step - 1, self.steps_per_epoch)
        start = batch * self.global_batch_sequences
        whole = self._epoch_order(epoch)[start : start + self.global_batch_sequences]
        return self.sequences.batch(np.asarray(whole[self.rank :: self.world_size], dtype=np.int64))

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

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """Return the order of `epoch`, (n,) uint32; that of one epoch is kept in memory."""
        kept = self._order
        if kept is None or kept[0] != epoch:
            kept = self._order = None  # let the last epoch's go before the next one is made
            kept = self._order = (epoch, self._load_order(epoch))
        return kept[1]

    def _load_order(self, epoch: int) -> np.ndarray:
        """Map the saved order of `epoch`, or compute it and, on rank 0, save it."""
        num_sequences = len(self.sequences)
        if self._order_folder is None:
            return global_order(num_sequences, self.seed, epoch)
        path = order_path(self._order_folder, num_sequences, self.seed, epoch)
        if path.exists():
            return read_order(path, num_sequences)
        order = global_order(num_sequences, self.seed, epoch)
        if self.rank == 0:
            write_order(path, order)
        return order
