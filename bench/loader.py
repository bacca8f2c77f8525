"""Measure what reading the data costs: opening 50 million windows, and the time of a batch against that of a step.

Run as ``python bench/loader.py``; it writes 13 GB of holes and 270 MB of tokens to a temporary folder. Memory is the
peak of the whole process (Linux). The windows of the speed test hold 100,000 kinds of tokens as often as words occur.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from olmo2.data.loader import Loader
from olmo2.data.packing import pack_best_fit
from olmo2.data.token_files import open_tokens
from olmo2.data.windows import Windows

NUM_WINDOWS = 50_000_000
VOCAB_SIZE = 100_278
SHAPES = (  # sequences of a global batch, seq_len, tokens/s of a training step to compare with, whose it is
    (16, 512, 2_750, "40M model, 2 CPU cores"),
    (512, 4096, 61_000, "1B model, one H200"),
    (512, 4096, 8 * 61_000, "1B model, eight H200, if one rank read for all"),
)


def peak_megabytes() -> float:
    """Return the peak of this process's resident memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def report(what: str, started: float) -> None:
    """Print the seconds since `started` and the peak of memory."""
    print(f"{what:<58} {time.perf_counter() - started:7.3f} s {peak_megabytes():8.0f} MB peak", flush=True)


def measure_opening(folder: Path) -> None:
    """Open a dataset of 50 million windows, order it, and open it again with the order saved."""
    path = folder / "sparse.npy"
    path.touch()
    os.truncate(path, NUM_WINDOWS * 128 * 2)
    started = time.perf_counter()
    windows = Windows(open_tokens([str(path)], "uint16"), seq_len=128, vocab_size=VOCAB_SIZE)
    loader = Loader(windows, global_batch_sequences=512, seed=6198, order=folder / "order")
    report(f"open {len(windows):,} windows, make the loader", started)
    started = time.perf_counter()
    windows.fingerprint()
    report("fingerprint", started)
    started = time.perf_counter()
    import torch  # noqa: F401 (so that the next line is about the data)

    report("import torch", started)
    started = time.perf_counter()
    loader.batch(1)
    report("first batch: shuffles and saves the order", started)
    started = time.perf_counter()
    Loader(windows, global_batch_sequences=512, seed=6198, order=folder / "order").batch(50_000)
    report("first batch of a resumed run: maps the saved order", started)


def measure_batches(folder: Path) -> None:
    """Time batches of realistic shapes, and how long a loop that computes meanwhile waits for them."""
    import torch

    ids = np.random.default_rng(0).zipf(1.2, size=2**26) % VOCAB_SIZE
    ids.astype("<u4").tofile(folder / "ids.npy")
    files = open_tokens([str(folder / "ids.npy")], "uint32")
    for sequences, seq_len, tokens_per_second, whose in SHAPES:
        windows = Windows(files, seq_len=seq_len, vocab_size=VOCAB_SIZE)
        loader = Loader(windows, global_batch_sequences=sequences, seed=0)
        loader.batch(1)
        num_steps = max(3, 2**23 // (sequences * seq_len))
        started = time.perf_counter()
        for step in range(2, 2 + num_steps):
            loader.batch(step)
        batch_seconds = (time.perf_counter() - started) / num_steps
        step_seconds = sequences * seq_len / tokens_per_second
        print(
            f"batch of {sequences} x {seq_len}: {batch_seconds * 1e3:.2f} ms, {batch_seconds / step_seconds:.3%} of "
            f"a step of {step_seconds:.2f} s ({whose})"
        )

    loader = Loader(Windows(files, seq_len=512, vocab_size=VOCAB_SIZE), global_batch_sequences=16, seed=0)
    batches = loader.batches(1, 21)
    next(batches)
    matrix = torch.ones(1024, 1024)
    computing = waiting = 0.0
    for _ in range(20):
        started = time.perf_counter()
        while time.perf_counter() - started < 0.2:
            matrix @ matrix
        computing += time.perf_counter() - started
        started = time.perf_counter()
        next(batches)
        waiting += time.perf_counter() - started
    batches.close()
    print(f"read ahead, 16 x 512 every {computing / 20:.2f} s: the loop waits {waiting / computing:.3%} of the time")


def measure_packing() -> None:
    """Time the packing of a million conversations."""
    lengths = np.minimum(np.random.default_rng(0).lognormal(6.2, 0.9, size=10**6).astype(int) + 1, 4096).tolist()
    started = time.perf_counter()
    rows = pack_best_fit(lengths, 4096)
    report(f"pack 1,000,000 items, {sum(lengths) / len(rows) / 4096:.2%} filled", started)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        measure_opening(Path(name))
        measure_batches(Path(name))
        measure_packing()
