"""Measure training on one GPU: our model and our step on random tokens, as `olmo2 pretrain` takes them.

Every case is a fresh process: micro-batch size and recompute setting, and on request transformers' Olmo2ForCausalLM
with the same batch and optimizer, plain and compiled. A step is gradient accumulation over the micro-batches, float32
weights under bfloat16 products, clipping, and fused AdamW. Reported are the median of the steps after the warm-up, the
share of the matmul peak (measured in the same process, warm), the peak of torch's allocations, and beside it what the
memory model of `olmo2 plan` predicts. FLOPs follow olmo2/model/flops.py.

    PYTHONPATH=. python bench/train_gpu.py --micro_batches 4 8 16 --transformers --json gpu.json
    PYTHONPATH=. python bench/train_gpu.py --micro_batches 8 --attention flash --profile profile/
    PYTHONPATH=. python bench/train_gpu.py --size olmo2-1m --vocab_size 1000 --device cpu --seq_len 128     to try it

It needs torch, numpy, pydantic, pydantic-settings and PyYAML, for --transformers also transformers, and neither an
installed olmo2 nor any data. On a machine without pydantic: `pip install --target extra pydantic pydantic-settings
pyyaml` with the same Python, and PYTHONPATH=.:extra. Count on a minute for each case of the 1B, most of it compiling.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from olmo2.base.errors import UsageError
from olmo2.data.batch import IGNORED_LABEL, Batch
from olmo2.model.flops import num_parameters, train_flops_per_token
from olmo2.model.sizes import DOLMA2_VOCABULARY, ModelConfig, model_config
from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import OptimSettings, build_optimizer
from olmo2.optim.skip_step import StepGuard
from olmo2.parallel.allocator import tune_allocator
from olmo2.parallel.device import choose_compute_dtype, choose_device, matmul_peak_flops, wait_for
from olmo2.parallel.memory import peak_memory
from olmo2.parallel.mesh import ParallelSettings, grid_for
from olmo2.parallel.ranks import alone
from olmo2.parallel.spread import spread
from olmo2.parallel.workload import Workload
from olmo2.train.objective import next_token
from olmo2.train.step import train_step
from olmo2.train.step_profiler import operator_table, start_profiler, write_trace
from olmo2.train.throughput import peak_memory_bytes

LR, Z_LOSS_WEIGHT, MAX_GRAD_NORM, WEIGHT_STD = 1e-4, 1e-4, 1.0, 0.02
PROFILED_STEPS = 2
ATTENTION = ("default", "cudnn", "flash", "efficient")  # kernels of scaled_dot_product_attention
SIDES = ("ours", "transformers", "transformers compiled")

Step = Callable[[], float]  # takes a step and returns its loss in nats


@dataclass(frozen=True)
class Case:
    """What one process measures."""

    size: str
    vocab_size: int
    seq_len: int
    device: str
    dtype: str
    compile: bool
    attention: str
    sequences: int  # of a step
    warm_up: int  # steps
    steps: int
    profile: str | None
    micro_batch: int = 1  # sequences of a forward
    recompute: Any = "none"
    side: str = "ours"

    @property
    def name(self) -> str:
        """What the table calls it."""
        how = self.recompute if self.side == "ours" else self.side
        return f"{self.micro_batch} x {self.seq_len}, {how}"

    @property
    def config(self) -> ModelConfig:
        """Shape of the model."""
        return model_config(self.size, vocab_size=self.vocab_size, max_position_embeddings=max(4096, self.seq_len))

    @property
    def workload(self) -> Workload:
        """What the memory model is told."""
        parallel = ParallelSettings(recompute=self.recompute)
        return Workload(
            config=self.config,
            grid=grid_for(parallel, 1),
            parallel=parallel,
            seq_len=self.seq_len,
            micro_batch_sequences=self.micro_batch,
            step_sequences=self.sequences,
            dtype_bytes=choose_compute_dtype(self.dtype, torch.device(self.device)).itemsize,
            is_compiled=self.compile,
            is_cpu=self.device == "cpu",
        )


def main(arguments: argparse.Namespace) -> None:
    """Run all cases, one process each, and print a table."""
    device = choose_device(arguments.device)
    chosen = vars(arguments)
    outer = {name: chosen.pop(name) for name in ("micro_batches", "recompute", "transformers", "json")}
    cases = [
        Case(**chosen, micro_batch=size, recompute=policy)
        for size in outer["micro_batches"]
        for policy in outer["recompute"]
    ]
    if outer["transformers"]:
        cases += [Case(**chosen, micro_batch=size, side=side) for size in outer["micro_batches"] for side in SIDES[1:]]
    for case in cases:
        if case.sequences % case.micro_batch:
            raise UsageError(f"--sequences {case.sequences} must be a multiple of each of --micro_batches")
    about = machine(device) | {"parameters": num_parameters(cases[0].config)}
    print(", ".join(f"{name} {value:,}" if isinstance(value, int) else str(value) for name, value in about.items()))
    print(f"{arguments.size}, {arguments.sequences} sequences a step, attention {arguments.attention}")
    print("case                              tokens/s (range)               of peak   memory GB  predicted     loss")
    results = []
    for case in cases:
        results.append(asdict(case) | measured(case))
        print(f"{case.name:32}  {line(results[-1])}", flush=True)
        if outer["json"]:
            Path(outer["json"]).write_text(json.dumps({"machine": about, "cases": results}, indent=1) + "\n")


def measured(case: Case) -> dict[str, Any]:
    """Return what a fresh process measures of a case, or why it could not."""
    done = subprocess.run([sys.executable, __file__, json.dumps(asdict(case))], capture_output=True, text=True)
    if done.returncode == 0:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    if "OutOfMemoryError" in done.stderr:
        return {"failed": "out of memory"} | predicted(case)
    print(done.stderr, file=sys.stderr)
    return {"failed": (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]}


def predicted(case: Case) -> dict[str, Any]:
    """Return the memory model's peak of torch's tensors; nothing of other people's models."""
    if case.side != "ours":
        return {}
    peak = peak_memory(case.workload)
    return {"predicted_bytes": peak.total, "predicted_moment": peak.moment}


def line(result: dict[str, Any]) -> str:
    """Return the rest of a row of the table."""
    told = f"{result['predicted_bytes'] / 1e9:9.1f}" if "predicted_bytes" in result else " " * 9
    if "failed" in result:
        return f"{result['failed']}  {told.strip() and f'predicted {told.strip()} GB'}"
    speed = f"{result['tokens_per_second']:9,.0f}"
    span = f"({result['tokens_per_second_range'][0]:,.0f} to {result['tokens_per_second_range'][1]:,.0f})"
    return (
        f"{speed} {span:20} {result['matmul_peak_ratio']:7.1%}   {result['peak_bytes'] / 1e9:9.1f}  {told}"
        f"  {result['losses'][0]:.3f} -> {result['losses'][-1]:.3f}"
    )


def machine(device: torch.device) -> dict[str, Any]:
    """Describe what is measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {platform.machine()}"
    return {"device": name, "python": f"Python {platform.python_version()}", "torch": f"torch {torch.__version__}"}


def measure(case: Case) -> dict[str, Any]:
    """Warm up, measure, and trace two more steps on request; in the process of the case."""
    device = choose_device(case.device)
    choose_attention(case.attention)
    if device.type == "cpu":
        tune_allocator()
    dtype = choose_compute_dtype(case.dtype, device)
    take = (our_step if case.side == "ours" else their_step)(case, device, dtype)
    started = time.perf_counter()
    losses = [take() for _ in range(case.warm_up)]
    warm_up_seconds = time.perf_counter() - started
    peak = matmul_peak_flops(device, dtype)
    seconds = []
    for _ in range(case.steps):
        wait_for(device)
        started = time.perf_counter()
        losses.append(take())
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    tokens = case.sequences * case.seq_len
    speed = tokens / median(seconds)
    result: dict[str, Any] = {
        "tokens_per_second": speed,
        "tokens_per_second_range": [tokens / max(seconds), tokens / min(seconds)],
        "matmul_peak_flops": peak,
        "matmul_peak_ratio": speed * train_flops_per_token(case.config, case.seq_len) / peak,
        "peak_bytes": peak_memory_bytes(),  # of torch's tensors on a GPU, of the process on a CPU
        "warm_up_seconds": warm_up_seconds,
        "seconds": seconds,
        "losses": losses,
    }
    if device.type == "cuda":
        result["reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    if case.profile is not None:
        trace(case, take)
    return result | predicted(case)


def choose_attention(name: str) -> None:
    """Leave one kernel of scaled_dot_product_attention, or torch's own order of preference."""
    if name != "default":
        torch.backends.cuda.enable_cudnn_sdp(name == "cudnn")
        torch.backends.cuda.enable_flash_sdp(name == "flash")
        torch.backends.cuda.enable_mem_efficient_sdp(name == "efficient")
        torch.backends.cuda.enable_math_sdp(False)


def trace(case: Case, take: Step) -> None:
    """Write a trace and a table of operators of two steps."""
    profiler = start_profiler()
    for _ in range(PROFILED_STEPS):
        take()
    wait_for(choose_device(case.device))
    profiler.stop()
    path = Path(case.profile or "") / case.name.replace(", ", "-").replace(" ", "")
    write_trace(profiler, path.with_suffix(".trace.json.gz"))
    path.with_suffix(".txt").write_text(operator_table(profiler))


def batch_of(case: Case) -> Batch:
    """Return random tokens and the labels that make each position predict the next one, on the CPU."""
    shape = case.sequences, case.seq_len
    input_ids = torch.randint(case.config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    labels = torch.full_like(input_ids, IGNORED_LABEL)
    labels[:, :-1] = input_ids[:, 1:]
    return Batch(input_ids, labels, None)


@torch.no_grad()
def fill_randomly(model: nn.Module) -> None:
    """Give every weight a value, on the model's device."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            parameter.normal_(std=WEIGHT_STD)


def our_step(case: Case, device: torch.device, dtype: torch.dtype) -> Step:
    """Return our training step."""
    ranks, batch = alone(device), batch_of(case)
    with torch.device("meta"):
        model = Transformer(case.config)
    parallel = ParallelSettings(recompute=case.recompute)
    spread(model, ranks, parallel, compute_dtype=dtype, compile=case.compile)
    fill_randomly(model)
    optimizer, guard = build_optimizer(model, OptimSettings(peak_lr=LR)), StepGuard(None)
    objective = next_token(Z_LOSS_WEIGHT)

    def take() -> float:
        return train_step(
            model,
            optimizer,
            batch,
            objective,
            lr=LR,
            max_grad_norm=MAX_GRAD_NORM,
            micro_batch_sequences=case.micro_batch,
            guard=guard,
            ranks=ranks,
        ).loss_nats

    return take


def their_step(case: Case, device: torch.device, dtype: torch.dtype) -> Step:
    """Return the step of transformers' model under autocast: the same accumulation, clipping and optimizer."""
    from transformers import Olmo2Config, Olmo2ForCausalLM

    settings = {key: value for key, value in vars(case.config).items() if key != "rope_theta"}
    rope = {"rope_type": "default", "rope_theta": case.config.rope_theta}
    their_config = Olmo2Config(**settings, rope_parameters=rope, pad_token_id=None, eos_token_id=None)
    with torch.device(device):  # RoPE's buffer is computed when the model is made
        model: Any = Olmo2ForCausalLM(their_config)
    model.train()
    fill_randomly(model)
    forward: Any = torch.compile(model) if case.side == "transformers compiled" else model
    optimizer = build_optimizer(model, OptimSettings(peak_lr=LR))
    batch = batch_of(case).to(device)
    num_targets = int((batch.labels != IGNORED_LABEL).sum())

    def take() -> float:
        nats = torch.zeros((), device=device)
        for micro in batch.split(case.micro_batch):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                loss: Tensor = forward(
                    input_ids=micro.input_ids,
                    labels=micro.input_ids,
                    num_items_in_batch=num_targets,
                    use_cache=False,
                ).loss
            loss.backward()
            nats += loss.detach()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        return float(nats)

    return take


def parsed(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="olmo2-1b", help="a size of olmo2/model/sizes.py")
    parser.add_argument("--vocab_size", type=int, default=DOLMA2_VOCABULARY)
    parser.add_argument("--seq_len", type=int, default=4096)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "bf16", "fp32"), help="auto = bf16 where it is fast"
    )
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--attention", default="default", choices=ATTENTION)
    parser.add_argument("--sequences", type=int, default=32, help="sequences of a step")
    parser.add_argument("--micro_batches", type=int, nargs="+", default=[4, 8], help="sequences of a forward")
    parser.add_argument("--recompute", nargs="+", default=["none"], choices=("none", "mlp", "alternate", "all"))
    parser.add_argument("--warm_up", type=int, default=3, help="steps before the first that is measured")
    parser.add_argument("--steps", type=int, default=10, help="steps that are measured")
    parser.add_argument("--transformers", action="store_true", help="measure Olmo2ForCausalLM too")
    parser.add_argument("--profile", metavar="FOLDER", help="trace two steps of every case into FOLDER")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    return parser.parse_args(words)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        # Fragments would otherwise take several GB; the same for both sides.
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
        print(json.dumps(measure(Case(**json.loads(sys.argv[1])))))
    else:
        try:
            main(parsed(sys.argv[1:]))
        except UsageError as error:
            print(f"train_gpu: {error}", file=sys.stderr)
            sys.exit(2)
