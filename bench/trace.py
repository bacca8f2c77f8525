"""Measure opening 4T tokens in 1,122 token files, and tracing a step of 2,048 sequences to its documents.

Run as ``python bench/trace.py [num_files]``; it writes token files that are holes, 3.6 billion tokens each, the rows
and index of 500,000 documents for each to a temporary folder: 15 GB for all. The order file is a hole as well, but for
random numbers where the traced steps lie (bench/order.py measures the real one). A trace is a command of its own.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from olmo2.data.global_order import order_path
from olmo2.data.loader import Loader
from olmo2.data.provenance import DocumentSpan, ProvenanceWriter
from olmo2.data.token_data import TokenDataSettings

NUM_FILES = 1122
PART_TOKENS = 4_000_000_000_000 // NUM_FILES
DOCUMENTS_PER_PART = 500_000
SEQ_LEN, BATCH_SEQUENCES, SEED = 4096, 2048, 6198


def write_corpus(folder: Path, num_files: int) -> None:
    """Write the token files and their documents: those of the first file, copied."""
    folder.mkdir()
    lengths = np.random.default_rng(0).lognormal(6.4, 1.0, DOCUMENTS_PER_PART) + 1
    ends = np.cumsum((lengths / lengths.sum() * PART_TOKENS).astype(np.int64))
    ends[-1] = PART_TOKENS
    first = folder / "part-00000.npy"
    writer = ProvenanceWriter(first)
    for number, (start, end) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
        id = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"
        writer.add(
            DocumentSpan(start, end, id, "dclm", f"shard_{number // 10_000:05d}.jsonl.zst:{number % 10_000 + 1}")
        )
    writer.close()
    for number in range(num_files):
        path = folder / f"part-{number:05d}.npy"
        path.touch()
        os.truncate(path, PART_TOKENS * 4)
        for suffix in (".csv.gz", ".index") if number else ():
            shutil.copyfile(first.with_suffix(suffix), path.with_suffix(suffix))


def write_order_of_holes(path: Path, num_sequences: int) -> None:
    """Write an order file with random sequences in the first and last steps."""
    path.parent.mkdir(parents=True)
    order = np.memmap(path, "<u4", mode="w+", shape=(num_sequences,))
    for place in (slice(0, 8 * BATCH_SEQUENCES), slice(num_sequences - 2 * BATCH_SEQUENCES, num_sequences)):
        order[place] = np.random.default_rng(1).integers(num_sequences, size=len(order[place]))
    order.flush()


def report(what: str, started: float) -> None:
    """Print the seconds since `started`, the processor's seconds of all commands so far, and the peak of memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    commands = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = commands.ru_utime + commands.ru_stime
    print(
        f"{what:<56} {time.perf_counter() - started:7.2f} s {busy:7.2f} s of commands {peak:6.2f} GB peak", flush=True
    )


def measure(folder: Path, num_files: int) -> None:
    """Open the corpus, read a batch with few file descriptors allowed, and trace steps."""
    write_corpus(folder / "tokens", num_files)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    started = time.perf_counter()
    data = {"paths": [f"{folder}/tokens/*.npy"], "dtype": "uint32", "seq_len": SEQ_LEN, "repetition_filter": False}
    windows = TokenDataSettings.model_validate(data).open(100_278, 100_257, None)
    report(f"open {num_files:,} files, {len(windows):,} windows", started)
    started = time.perf_counter()
    fingerprint = windows.fingerprint()
    report("fingerprint", started)
    run = folder / "run"
    write_order_of_holes(order_path(run / "order", len(windows), SEED, 0), len(windows))
    loader = Loader(windows, global_batch_sequences=BATCH_SEQUENCES, seed=SEED, order=run / "order")
    started = time.perf_counter()
    loader.batch(1)
    report(f"a batch of {BATCH_SEQUENCES:,} sequences with 256 file descriptors", started)

    recipe = {
        "verb": "pretrain",
        "data": data,
        "run": {"seed": SEED, "global_batch_tokens": BATCH_SEQUENCES * SEQ_LEN, "epochs": 1},
    }
    (run / "recipe.yaml").write_text(json.dumps(recipe))
    state = run / "stage1-step1000-tokens9B/trainer/state.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"data": fingerprint}))
    for step in (1, 7, 7, loader.steps_per_epoch):
        started = time.perf_counter()
        command = [sys.executable, "-m", "olmo2", "trace", str(run), f"--step={step}"]
        lines = subprocess.run(command, capture_output=True, check=True).stdout.count(b"\n")
        report(f"olmo2 trace --step={step} ({lines:,} lines)", started)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else NUM_FILES)
