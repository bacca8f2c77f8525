"""Measure training on this CPU beside transformers: same model, weights, batch and allocator settings.

Two processes take turns step by step, so that whatever else the machine does meets both sides alike; a ratio is the
median over rounds of transformers' seconds by our seconds in that round. A step is forward, loss, backward, gradient
clipping and fused AdamW on float32 weights. Ours chooses its own number format and adds z-loss; transformers' step
runs once in float32, its default, and once under bfloat16 autocast, unless this processor has no bfloat16
instructions: there a step under autocast takes minutes.

    python bench/train_cpu.py [rounds]        about three minutes on two quiet cores
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median

import torch
from torch import Tensor, nn

from olmo2.loss.language_model import IGNORED_LABEL, language_model_loss
from olmo2.model.flops import num_parameters, train_flops_per_token
from olmo2.model.init import initialise
from olmo2.model.sizes import model_config
from olmo2.model.transformer import Transformer
from olmo2.parallel.allocator import tune_allocator
from olmo2.parallel.compile import compile_blocks
from olmo2.parallel.device import choose_compute_dtype, is_bf16_fast, matmul_peak_flops

CONFIG = model_config("olmo2-34m", vocab_size=8192)
NUM_ROWS, SEQ_LEN = 8, 512
NUM_TOKENS = NUM_ROWS * SEQ_LEN
CPU = torch.device("cpu")
WARM_UP_STEPS = 2
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
NAMES = {"ours": "ours", "fp32": "transformers, float32", "bf16": "transformers, bfloat16 autocast"}

Step = Callable[[], float]  # returns the loss before the step


def main(rounds: int) -> None:
    """Run both processes and print the table."""
    print(f"{processor()}, {torch.get_num_threads()} threads, load of the last minute {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}")
    print(f"{num_parameters(CONFIG):,} parameters, {NUM_ROWS} x {SEQ_LEN} tokens, {rounds} rounds")
    ours, theirs = (
        subprocess.Popen([sys.executable, __file__, side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for side in ("ours", "transformers")
    )
    sides = {"ours": ours, "fp32": theirs}
    if is_bf16_fast(CPU):
        sides["bf16"] = theirs
    else:
        print("bfloat16 autocast is left out: this processor has no bfloat16 instructions")
    our_loss, their_loss = ask(ours, "ours")[1], ask(theirs, "fp32")[1]
    print(f"loss of the first step: ours {our_loss:.4f} with z-loss, transformers {their_loss:.4f} without")
    for _ in range(WARM_UP_STEPS):
        for name, side in sides.items():
            ask(side, name)

    seconds: dict[str, list[float]] = {name: [] for name in sides}
    peaks = {name: 0.0 for name in DTYPES if name in sides}
    for round_ in range(rounds):
        for name in list(sides)[:: 1 if round_ % 2 else -1]:
            seconds[name].append(ask(sides[name], name)[0])
        for name in peaks:
            peaks[name] = max(peaks[name], matmul_peak_flops(CPU, DTYPES[name]))
    for side in (ours, theirs):
        side.communicate()
    report(seconds, peaks)


def report(seconds: dict[str, list[float]], peaks: dict[str, float]) -> None:
    """Print tokens a second, share of the matmul peak, and how many times as fast ours is."""
    print(", ".join(f"matmul peak {name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()))
    for name, values in seconds.items():
        tokens_per_second = NUM_TOKENS / median(values)
        peak = peaks["bf16" if name != "fp32" and "bf16" in peaks else "fp32"]
        share = tokens_per_second * train_flops_per_token(CONFIG, SEQ_LEN) / peak
        ratios = sorted(other / our for other, our in zip(values, seconds["ours"], strict=True))
        comparison = f", ours is {median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(
            f"{NAMES[name]:32} {tokens_per_second:6.0f} tokens/s, {share:3.0%} of the matmul peak"
            + comparison * (name != "ours")
        )


def processor() -> str:
    """Return the processor's name."""
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def ask(side: subprocess.Popen[str], name: str) -> tuple[float, float]:
    """Have a process do one step; return its seconds and loss."""
    assert side.stdin is not None and side.stdout is not None
    side.stdin.write(name + "\n")
    side.stdin.flush()
    seconds, loss = side.stdout.readline().split()
    return float(seconds), float(loss)


def serve(side: str) -> None:
    """Do one step for each line on standard input and answer with its seconds and loss."""
    tune_allocator()
    steps = our_steps() if side == "ours" else transformers_steps()
    for line in sys.stdin:
        started = time.perf_counter()
        loss = steps[line.strip()]()
        print(time.perf_counter() - started, loss, flush=True)


def first_weights() -> Transformer:
    """Return the model that both sides start from."""
    model = Transformer(CONFIG)
    initialise(model, 0)
    return model


def batch() -> tuple[Tensor, Tensor]:
    """Return random input_ids and the labels that make each position predict the next one, (B, T) each."""
    input_ids = torch.randint(CONFIG.vocab_size, (NUM_ROWS, SEQ_LEN), generator=torch.Generator().manual_seed(0))
    labels = torch.full_like(input_ids, IGNORED_LABEL)
    labels[:, :-1] = input_ids[:, 1:]
    return input_ids, labels


def our_steps() -> dict[str, Step]:
    """Return our training step."""
    model = first_weights()
    model.model.compute_dtype = choose_compute_dtype("auto", CPU)
    print(compile_blocks(model, "auto", CPU), file=sys.stderr)
    input_ids, labels = batch()
    num_targets = int((labels != IGNORED_LABEL).sum())

    def head(hidden: Tensor, weight: Tensor) -> Tensor:
        return language_model_loss(hidden, weight, labels, z_loss_weight=1e-4).total / num_targets

    return {"ours": step_of(model, lambda: model(input_ids, head=head))}


def transformers_steps() -> dict[str, Step]:
    """Return transformers' training step in float32 and under bfloat16 autocast."""
    from transformers import Olmo2Config, Olmo2ForCausalLM

    settings = {key: value for key, value in vars(CONFIG).items() if key != "rope_theta"}
    rope = {"rope_type": "default", "rope_theta": CONFIG.rope_theta}
    model = Olmo2ForCausalLM(Olmo2Config(**settings, rope_parameters=rope, pad_token_id=None, eos_token_id=None))
    model.load_state_dict(first_weights().state_dict())
    input_ids, _ = batch()

    def loss(is_bf16: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            return model(input_ids=input_ids, labels=input_ids, use_cache=False).loss

    return {"fp32": step_of(model, lambda: loss(False)), "bf16": step_of(model, lambda: loss(True))}


def step_of(model: nn.Module, loss_of: Callable[[], Tensor]) -> Step:
    """Return the rest of a training step, the same for both sides."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step() -> float:
        loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("ours", "transformers"):
        serve(arguments[0])
    else:
        main(rounds=int(arguments[0]) if arguments else 9)
