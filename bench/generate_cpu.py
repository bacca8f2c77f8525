"""Measure generation beside transformers, on the same folder and prompts, in turns.

    python bench/generate_cpu.py [--cases many40m one268m ...] [--rounds 3] [--dtype fp32|bf16]

Prompts and weights are random; answers are greedy and end at a length, so that both do the same work. Beside the
tokens a second stands what reading all weights once a step would allow, at the memory bandwidth of the same run.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import load_model, write_model_folder
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.flops import num_parameters
from olmo2.model.init import initialise
from olmo2.model.sizes import model_config
from olmo2.model.transformer import Transformer
from olmo2.parallel.allocator import tune_allocator
from olmo2.tokenizer.byte_pair import train_byte_pair

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    """A model, prompts, and tokens to write for each."""

    size: str
    vocab_size: int
    num_prompts: int
    prompt_tokens: tuple[int, int]  # shortest and longest
    new_tokens: tuple[int, int]


CASES = {
    "one40m": Case("olmo2-34m", 8192, 1, (32, 32), (128, 128)),
    "many40m": Case("olmo2-34m", 8192, 64, (32, 32), (64, 64)),
    "mixed40m": Case("olmo2-34m", 8192, 64, (8, 128), (8, 128)),
    "one268m": Case("olmo2-268m", 32_000, 1, (32, 32), (48, 48)),
    "eight268m": Case("olmo2-268m", 32_000, 8, (32, 32), (32, 32)),
    "prefill268m": Case("olmo2-268m", 32_000, 1, (256, 256), (1, 1)),
    "one1b": Case("olmo2-1b", 100_278, 1, (16, 16), (16, 16)),
    "many1b": Case("olmo2-1b", 100_278, 16, (16, 16), (16, 16)),
}


def bandwidth() -> float:
    """Return the bytes a second at which this machine reads memory."""
    numbers = torch.ones(256_000_000, dtype=torch.uint8)
    words = numbers.view(torch.int64)
    return len(numbers) / min(timed(lambda: words.max()) for _ in range(5))


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def write_folder(case: Case, folder: Path, dtype: torch.dtype) -> None:
    """Write a model of random weights."""
    model = Transformer(model_config(case.size, vocab_size=case.vocab_size))
    initialise(model, 0)
    with atomic_folder(folder) as partial:
        tokenizer = train_byte_pair(["as small as can be"], 278)
        write_model_folder(partial, model.state_dict(), model.config, tokenizer, dtype=dtype)


def measure(name: str, case: Case, folder: Path, rounds: int, dtype: torch.dtype, bytes_a_second: float) -> None:
    """Let ours and transformers take turns, and print tokens a second and their ratio."""
    import transformers

    numbers = random.Random(0)
    prompts = [
        [numbers.randrange(300, 8000) for _ in range(numbers.randint(*case.prompt_tokens))]
        for _ in range(case.num_prompts)
    ]
    lengths = [numbers.randint(*case.new_tokens) for _ in prompts]
    model, tokenizer = load_model(folder, dtype=dtype)
    engine = Engine(model, tokenizer, EngineSettings(cache_tokens=64 * 256))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    longest = max(map(len, prompts))
    padded = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    def run_ours() -> None:
        requests = [
            Request(prompt, SamplingSettings(max_new_tokens=length, ignore_end=True))
            for prompt, length in zip(prompts, lengths, strict=True)
        ]
        engine.pool.forget_all()
        found = engine.run(requests)
        assert [len(completion.token_ids) for completion in found] == lengths

    @torch.inference_mode()
    def run_theirs() -> None:
        most = max(lengths)
        theirs.generate(
            padded, attention_mask=mask, max_new_tokens=most, min_new_tokens=most, do_sample=False, pad_token_id=0
        )

    run_ours(), run_theirs()
    seconds: list[tuple[float, float]] = []
    for round_ in range(rounds):
        order = (run_ours, run_theirs) if round_ % 2 else (run_theirs, run_ours)
        found = {work: timed(work) for work in order}
        seconds.append((found[run_ours], found[run_theirs]))
    num_tokens = sum(lengths) if max(lengths) > 1 else sum(map(len, prompts))
    ours, other = (num_tokens / median(each[side] for each in seconds) for side in (0, 1))
    ratios = sorted(theirs_ / ours_ for ours_, theirs_ in seconds)
    weight_bytes = (num_parameters(model.config) - model.config.vocab_size * model.config.hidden_size) * dtype.itemsize
    limit = bytes_a_second / weight_bytes * case.num_prompts
    print(
        f"{name:12} ours {ours:8.1f} tokens/s, transformers {other:8.1f}: {median(ratios):.2f} times as fast "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}); reading the weights allows {limit:,.0f}",
        flush=True,
    )


def main() -> None:
    """Measure the cases asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["one40m", "many40m", "mixed40m", "one268m"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    options = parser.parse_args()
    tune_allocator()
    bytes_a_second = bandwidth()
    print(
        f"{options.dtype}, {torch.get_num_threads()} threads, memory is read at {bytes_a_second / 1e9:.1f} GB/s, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for name in options.cases:
        folder = Path(tempfile.mkdtemp(prefix="generate-cpu-")) / "model"
        try:
            write_folder(CASES[name], folder, DTYPES[options.dtype])
            measure(name, CASES[name], folder, options.rounds, DTYPES[options.dtype], bytes_a_second)
        finally:
            shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
