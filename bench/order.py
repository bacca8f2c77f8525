"""Measure what the data order of 4T tokens costs: time, and the peak of this process's memory (Linux).

Run as ``python bench/order.py [num_sequences]``; without a number it orders 976,562,500 windows of 4,096 tokens, writes
their 3.9 GB to a temporary folder and maps them again, as the process that prepares the data of a run does.
"""

import sys
import tempfile
import time
from pathlib import Path

from olmo2.data.global_order import global_order, order_path, read_order, write_order

NUM_SEQUENCES = 4_000_000_000_000 // 4096
SEED = 6198


def peak_gigabytes() -> float:
    """Return the peak of this process's resident memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def report(what: str, started: float) -> None:
    """Print the seconds since `started` and the peak of memory."""
    print(f"{what:<44} {time.perf_counter() - started:7.1f} s {peak_gigabytes():7.2f} GB peak", flush=True)


def measure(folder: Path, num_sequences: int) -> None:
    """Shuffle, save, and map what was saved."""
    started = time.perf_counter()
    order = global_order(num_sequences, SEED, epoch=0)
    report(f"shuffle {num_sequences:,} sequences", started)
    path = order_path(folder, num_sequences, SEED, epoch=0)
    started = time.perf_counter()
    write_order(path, order)
    report("write the order", started)
    first = order[:512].tolist()
    del order
    started = time.perf_counter()
    assert read_order(path, num_sequences)[:512].tolist() == first
    report("map it and read the first batch", started)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else NUM_SEQUENCES)
