"""Measure what a save in the background costs: seconds of training, and memory.

One process trains a model of 403M parameters. Stretches of steps with a save begun before the first of them take turns
with stretches without, so that whatever else the machine does meets both alike. Timed are whole stretches: the copy of
the state, the steps while a thread writes it and deletes the one before, and giving the checkpoint its name. A stretch
that ends before its checkpoint is complete says so. What a save adds to the step time follows from how often one is
begun: the seconds it adds, by the seconds between two of them.

    python bench/background_save.py [--rounds 5] [--steps 6] [--sequences 1] [--folder PATH]   ten minutes on two cores

Needs about 14 GB of memory, and 10 GB of disk.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

from olmo2.checkpoint.names import checkpoint_name
from olmo2.checkpoint.run_state import RunState
from olmo2.checkpoint.save import CheckpointWriter
from olmo2.data.batch import Batch
from olmo2.model.flops import num_parameters
from olmo2.model.init import initialise
from olmo2.model.sizes import model_config
from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import OptimSettings, build_optimizer, optimizer_tensors
from olmo2.optim.skip_step import StepGuard
from olmo2.parallel.allocator import tune_allocator
from olmo2.parallel.device import choose_compute_dtype
from olmo2.parallel.ranks import alone
from olmo2.tokenizer.byte_pair import train_byte_pair
from olmo2.train.objective import next_token
from olmo2.train.remote_copies import Replacements
from olmo2.train.step import train_step

CPU = torch.device("cpu")
AIM = 0.03  # of the step time


@dataclass
class Stretch:
    """What a stretch of steps took, in seconds."""

    steps: list[float] = field(default_factory=list)
    steps_while_writing: list[float] = field(default_factory=list)
    copying: float = 0.0
    naming: float = 0.0
    deleting: float = 0.0  # after the stretch
    writing: float = 0.0  # from the end of the copy until all files are on disk
    whole: float = 0.0


class Training:
    """A model that is trained on random tokens, and saved."""

    def __init__(self, options: argparse.Namespace, run: Path) -> None:
        tune_allocator()
        config = model_config(options.size, vocab_size=options.vocab_size)
        self.model = Transformer(config)
        initialise(self.model, 0)
        self.model.model.compute_dtype = choose_compute_dtype("auto", CPU)
        self.optimizer = build_optimizer(self.model, OptimSettings(peak_lr=1e-4))
        input_ids = torch.randint(config.vocab_size, (options.sequences, options.seq_len))
        self.batch = Batch(input_ids, input_ids, None)
        self.tokenizer = train_byte_pair(["as small as can be"], 278)
        self.writer = CheckpointWriter(alone(), background=True)
        self.replacements = Replacements(run, None, print)
        self.run, self.num_steps, self.num_saves = run, options.steps, 0

    @property
    def state_bytes(self) -> int:
        """Bytes of weights and moments."""
        tensors = [*self.model.state_dict().values(), *optimizer_tensors(self.model, self.optimizer).values()]
        return sum(tensor.numel() * tensor.itemsize for tensor in tensors)

    def step(self) -> float:
        """Take a step; return its seconds."""
        started = time.perf_counter()
        train_step(
            self.model,
            self.optimizer,
            self.batch,
            next_token(1e-4),
            lr=1e-4,
            max_grad_norm=1.0,
            micro_batch_sequences=len(self.batch.input_ids),
            guard=StepGuard(None),
            ranks=alone(),
        )
        return time.perf_counter() - started

    def stretch(self, *, is_saved: bool) -> Stretch:
        """Take the steps of a stretch as the trainer does, with or without a save begun before the first of them."""
        seconds, unproven = Stretch(), None
        started = time.perf_counter()
        if is_saved:
            seconds.copying = self.start_saving()
            watch = self.watch_writing(seconds)
        for _ in range(self.num_steps):
            is_writing = is_saved and not self.writer.is_written and self.writer.folder is not None
            (seconds.steps_while_writing if is_writing else seconds.steps).append(self.step())
            if unproven is not None:
                self.replacements.add(unproven)
                unproven = None
            if self.writer.is_written:
                begun = time.perf_counter()
                unproven = self.writer.finish()
                seconds.naming = time.perf_counter() - begun
        seconds.whole = time.perf_counter() - started
        if is_saved:
            watch.join()
        if self.writer.folder is not None or unproven is not None:
            print("  the checkpoint was not complete, or the one before not deleted, when the stretch ended: add steps")
            self.replacements.add(unproven or self.writer.finish() or self.run)
        begun = time.perf_counter()
        self.replacements.settle()
        seconds.deleting = time.perf_counter() - begun
        return seconds

    def start_saving(self) -> float:
        """Begin a save; return how long the steps had to wait for the copy."""
        begun = time.perf_counter()
        self.num_saves += 1
        state = RunState(
            stage="stage1",
            parent=None,
            data="random",
            step=self.num_saves,
            tokens=self.num_saves,
            history=StepGuard(None).history(),
            ephemeral=True,
        )
        self.writer.start(
            self.run / checkpoint_name("stage1", self.num_saves, 10**6, total_tokens=10**6),
            self.model,
            self.tokenizer,
            optimizer_tensors=optimizer_tensors(self.model, self.optimizer),
            state=state,
            recipe_text="",
        )
        return time.perf_counter() - begun

    def watch_writing(self, seconds: Stretch) -> threading.Thread:
        """Note in `seconds` how long it takes until all files are written."""
        written, begun = self.writer.written, time.perf_counter()
        assert written is not None

        def wait() -> None:
            written.result()
            seconds.writing = time.perf_counter() - begun

        thread = threading.Thread(target=wait)
        thread.start()
        return thread


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of a stretch")
    parser.add_argument("--sequences", type=int, default=1, help="of a step")
    parser.add_argument("--seq_len", type=int, default=512)
    parser.add_argument("--size", default="olmo2-268m")
    parser.add_argument("--vocab_size", type=int, default=65_536)
    parser.add_argument("--folder", type=Path, help="a new folder on the disk to measure")
    options = parser.parse_args()
    run = options.folder or Path(tempfile.mkdtemp(prefix="background-save-"))
    training = Training(options, run)
    print(
        f"{num_parameters(training.model.config) / 1e6:.0f}M parameters, {options.sequences} x {options.seq_len} "
        f"tokens a step, {options.steps} steps a stretch, {torch.get_num_threads()} threads, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    try:
        measure(training, options.rounds)
    finally:
        training.writer.abandon()
        shutil.rmtree(run)


def measure(training: Training, rounds: int) -> None:
    """Let stretches with and without a save take turns, and print what they took."""
    training.step()  # which makes the moments
    reset_peak()
    training.stretch(is_saved=False)
    base = status_bytes("VmHWM")
    state = training.state_bytes
    print(f"state {state / 1e9:.2f} GB, peak memory before the first save {base / 1e9:.2f} GB")
    pairs: list[tuple[Stretch, Stretch]] = []
    for round_ in range(rounds):
        order = (True, False) if round_ % 2 else (False, True)
        timed = {is_saved: training.stretch(is_saved=is_saved) for is_saved in order}
        plain, saved = timed[False], timed[True]
        pairs.append((plain, saved))
        print(
            f"round {round_ + 1}: {plain.whole:.1f} s without, {saved.whole:.1f} s with a save: "
            f"copy {saved.copying:.2f} s, "
            f"written after {saved.writing:.1f} s, named in {saved.naming:.2f} s, "
            f"deletion waited for {saved.deleting:.2f} s; "
            f"peak {status_bytes('VmHWM') / 1e9:.2f} GB, held {status_bytes('VmRSS') / 1e9:.2f} GB",
            flush=True,
        )
    report(pairs, (status_bytes("VmHWM") - base) / state)


def report(pairs: list[tuple[Stretch, Stretch]], copies: float) -> None:
    """Print the medians and what follows from them."""
    plain_step = median(second for plain, _ in pairs for second in plain.steps)
    while_writing = median(second for _, saved in pairs for second in saved.steps_while_writing)
    added = median(saved.whole - plain.whole for plain, saved in pairs)
    stretch = median(plain.whole for plain, _ in pairs)
    print(f"a step takes {plain_step:.2f} s, one while a checkpoint is written {while_writing:.2f} s (medians)")
    print(f"a save adds {added:.2f} s (median of the pairs) to {stretch:.1f} s of training: {added / stretch:.1%}")
    print(f"so it adds under {AIM:.0%} if one is begun every {added / AIM:.0f} s or more seldom")
    print(f"saving raised the peak of memory by {copies:.2f} times the state; no later one may raise it further")


def status_bytes(name: str) -> int:
    """Return a figure of this process from the kernel."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def reset_peak() -> None:
    """Let VmHWM count from now on."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
