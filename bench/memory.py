"""Compare the memory model with what training takes here, on this CPU.

Every case is a fresh process that takes two real training steps; the second has moments, so it is the fullest. Measured
is the peak of what torch's allocator has handed out, from the profiler's memory events that begin before the model is
made: the same notion as torch.cuda.max_memory_allocated, and what the model predicts. The growth of the process (VmHWM)
is no such measure on CPUs: it depends on glibc's fragments, and on libraries that are loaded at first use.

    python bench/memory.py [compiled] [recompute] [process]         about ten minutes on two quiet cores

compiled adds cases with compiled blocks, recompute the other policies, process how much a process grows without the
profiler, from before the model is made.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from olmo2.data.batch import Batch
from olmo2.model.flops import num_parameters
from olmo2.model.init import initialise
from olmo2.model.sizes import ModelConfig, model_config
from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import OptimSettings, build_optimizer
from olmo2.optim.skip_step import StepGuard
from olmo2.parallel.allocator import tune_allocator
from olmo2.parallel.compile import compile_blocks
from olmo2.parallel.memory import peak_memory
from olmo2.parallel.mesh import ParallelSettings, grid_for
from olmo2.parallel.ranks import alone
from olmo2.parallel.workload import Workload
from olmo2.train.objective import next_token
from olmo2.train.step import train_step

CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    """A model and the batch of a step."""

    size: str
    vocab_size: int
    rows: int  # of a step
    micro_rows: int  # of a forward
    seq_len: int
    dtype: str = "fp32"
    is_compiled: bool = False
    recompute: Any = "none"

    @property
    def config(self) -> ModelConfig:
        """Shape of the model."""
        return model_config(self.size, vocab_size=self.vocab_size)

    @property
    def workload(self) -> Workload:
        """What the memory model is told."""
        parallel = ParallelSettings(recompute=self.recompute)
        return Workload(
            config=self.config,
            grid=grid_for(parallel, 1),
            parallel=parallel,
            seq_len=self.seq_len,
            micro_batch_sequences=self.micro_rows,
            step_sequences=self.rows,
            dtype_bytes=DTYPES[self.dtype].itemsize,
            is_compiled=self.is_compiled,
            is_cpu=True,
        )


CASES = [
    Case("olmo2-1m", 8192, 8, 8, 256),
    Case("olmo2-6m", 8192, 8, 8, 512),
    Case("olmo2-6m", 8192, 8, 4, 512),
    Case("olmo2-6m", 8192, 8, 8, 512, "bf16"),
    Case("olmo2-6m", 512, 32, 32, 256),
    Case("olmo2-34m", 8192, 8, 8, 512),
    Case("olmo2-34m", 8192, 2, 1, 2048),
    Case("olmo2-113m", 32_768, 4, 4, 256),
    Case("olmo2-268m", 65_536, 1, 1, 512),
    Case("olmo2-268m", 65_536, 4, 2, 256),
]


def main(arguments: list[str]) -> None:
    """Run all cases and print predicted and measured peaks."""
    cases = list(CASES)
    if "compiled" in arguments:
        cases += [replace(case, is_compiled=True) for case in CASES if case.size in ("olmo2-1m", "olmo2-6m")]
    if "recompute" in arguments:
        cases += [replace(CASES[1], recompute=policy) for policy in ("mlp", "alternate", "all")]
    print("parameters  vocab   step      at a time  options         predicted   measured  ratio  fullest moment")
    for case in cases:
        predicted, measured = peak_memory(case.workload), ask(case, "tensors")
        options = f"{case.dtype} {'compiled' if case.is_compiled else case.recompute}"
        grown = f", process grew {ask(case, 'process') / 1e6:,.0f} MB" if "process" in arguments else ""
        print(
            f"{num_parameters(case.config) / 1e6:8.1f} M  {case.vocab_size:6,}  {case.rows} x {case.seq_len:5}"
            f"  {case.micro_rows} rows     {options:14} {predicted.total / 1e6:7,.0f} MB {measured / 1e6:7,.0f} MB"
            f"  {predicted.total / measured:5.3f}  {predicted.moment}{grown}",
            flush=True,
        )


def ask(case: Case, kind: str) -> int:
    """Return the bytes that a fresh process measures."""
    command = [sys.executable, __file__, kind, json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stdout.split()[-1])


def measure(kind: str, case: Case) -> int:
    """Take two steps; return the peak of torch's tensors, or the growth of the process."""
    tune_allocator()
    before = status_bytes("VmRSS")
    if kind == "process":
        take_steps(case)
        return status_bytes("VmHWM") - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        take_steps(case)
    kineto: Any = profiler.profiler
    events = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def take_steps(case: Case) -> None:
    """Make the model and train it for two steps."""
    model = Transformer(case.config)
    initialise(model, 0)
    model.model.compute_dtype = DTYPES[case.dtype]
    compile_blocks(model, case.is_compiled, CPU)
    recompute(model, case.recompute)
    optimizer = build_optimizer(model, OptimSettings(peak_lr=1e-4))
    input_ids = torch.randint(case.vocab_size, (case.rows, case.seq_len))
    for _ in range(2):
        train_step(
            model,
            optimizer,
            Batch(input_ids, input_ids, None),
            next_token(1e-4),
            lr=1e-4,
            max_grad_norm=1.0,
            micro_batch_sequences=case.micro_rows,
            guard=StepGuard(None),
            ranks=alone(),
        )


def recompute(model: Transformer, policy: Any) -> None:
    """Apply a recompute policy."""
    if policy != "none":
        from olmo2.parallel.recompute import recompute_activations

        recompute_activations(model, policy)


def status_bytes(name: str) -> int:
    """Return a figure of this process from the kernel."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    words = sys.argv[1:]
    if words and words[0] in ("tensors", "process"):
        print(measure(words[0], Case(**json.loads(words[1]))))
    else:
        main(words)
