"""Measure generation beside transformers, on the same folders and prompts, in turns.

    python bench/generate_cpu.py [--cases many40m one1b ...] [--weights stored int8 int4] [--rounds 3] [--steps]

Prompts and weights are random; answers are greedy and end at a length, so that all do the same work. transformers
reads the folder that ours reads, int8 and int4 are the same model after `olmo2 quantize`. Beside the tokens a second
stands their share of the machine's memory bandwidth, if every step reads all weights.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import load_model, write_model_folder
from olmo2.checkpoint.quantized_folder import quantize_layers
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.paged_cache import Slice
from olmo2.inference.pages import PAGE_TOKENS
from olmo2.inference.quantize import INT4_GROUP
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.flops import num_parameters
from olmo2.model.init import initialise
from olmo2.model.quantized import Scheme
from olmo2.model.sizes import model_config
from olmo2.model.transformer import Transformer
from olmo2.parallel.allocator import tune_allocator
from olmo2.tokenizer.byte_pair import train_byte_pair

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SCHEMES = {"int8": Scheme(8), "int4": Scheme(4, INT4_GROUP)}
PEER = "transformers"
STEPS = (1, 2, 4, 8, 16, 64, 256)


@dataclass(frozen=True)
class Case:
    """A model, prompts, and tokens to write for each."""

    size: str
    vocab_size: int
    num_prompts: int
    prompt_tokens: tuple[int, int]  # shortest and longest
    new_tokens: tuple[int, int]
    stop: tuple[str, ...] = ()  # texts that are looked for and never come

    @property
    def counted_tokens(self) -> str:
        """What is counted a second."""
        return "prompt" if self.new_tokens == (1, 1) else "new"


STOP = ("\n\nQuestion:", "</answer>")
CASES = {
    "one40m": Case("olmo2-34m", 8192, 1, (4, 4), (128, 128)),
    "many40m": Case("olmo2-34m", 8192, 64, (32, 32), (64, 64)),
    "mixed40m": Case("olmo2-34m", 8192, 64, (8, 128), (8, 128), STOP),
    "one268m": Case("olmo2-268m", 32_000, 1, (4, 4), (48, 48)),
    "eight268m": Case("olmo2-268m", 32_000, 8, (32, 32), (32, 32)),
    "prefill268m": Case("olmo2-268m", 32_000, 1, (256, 256), (1, 1)),
    "first268m": Case("olmo2-268m", 32_000, 1, (1000, 1000), (1, 1)),
    "one1b": Case("olmo2-1b", 100_278, 1, (4, 4), (24, 24)),
    "many1b": Case("olmo2-1b", 100_278, 16, (16, 16), (16, 16)),
    "mixed1b": Case("olmo2-1b", 100_278, 64, (8, 64), (4, 24), STOP),
}


def best_seconds(work: Callable[[], Any], times: int = 5) -> float:
    """Return the shortest time that `work` takes."""
    return min(timed(work) for _ in range(times))


def bandwidth() -> float:
    """Return the bytes a second at which a matrix-vector product reads memory."""
    matrix, vector = torch.ones(8192, 8192), torch.ones(8192)
    return matrix.numel() * 4 / best_seconds(lambda: matrix @ vector)


def peak() -> float:
    """Return the operations a second of a large float32 matrix product."""
    matrix = torch.ones(2048, 2048)
    return 2 * 2048**3 / best_seconds(lambda: matrix @ matrix)


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def write_folder(case: Case, folder: Path, dtype: torch.dtype) -> None:
    """Write a model of random weights."""
    model = Transformer(model_config(case.size, vocab_size=case.vocab_size))
    initialise(model, 0)
    with atomic_folder(folder) as unfinished:
        tokenizer = train_byte_pair(["as small as can be"], 278)
        write_model_folder(unfinished, model.state_dict(), model.config, tokenizer, dtype=dtype)


def make_engine(folder: Path, weights: str, dtype: torch.dtype) -> tuple[Engine, int]:
    """Load a folder, quantized if `weights` says so; return also the bytes that a step reads."""
    model, tokenizer = load_model(folder, dtype=dtype)
    if weights in SCHEMES:
        quantize_layers(model, SCHEMES[weights], Scheme(8))
    embedding = model.model.embed_tokens.weight
    num_bytes = sum(tensor.numel() * tensor.itemsize for tensor in model.state_dict().values())
    return Engine(
        model, tokenizer, EngineSettings(cache_tokens=64 * 256)
    ), num_bytes - embedding.numel() * embedding.itemsize


def run_engine(engine: Engine, case: Case, prompts: list[list[int]], lengths: list[int]) -> None:
    """Answer all prompts, nothing remembered of earlier ones."""
    requests = [
        Request(prompt, SamplingSettings(max_new_tokens=length, ignore_end=True, stop=list(case.stop)))
        for prompt, length in zip(prompts, lengths, strict=True)
    ]
    engine.pool.forget_all()
    found = engine.run(requests)
    assert [len(completion.token_ids) for completion in found] == lengths


def peer(folder: Path, dtype: torch.dtype, prompts: list[list[int]], most: int) -> Callable[[], None]:
    """Return what lets transformers answer the same prompts, padded on the left."""
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    longest = max(map(len, prompts))
    padded = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    settings = {"max_new_tokens": most, "min_new_tokens": most, "do_sample": False, "pad_token_id": 0}

    @torch.inference_mode()
    def run() -> None:
        theirs.generate(padded, attention_mask=mask, **settings)

    return run


def measure(name: str, case: Case, folder: Path, options: argparse.Namespace, bytes_a_second: float) -> None:
    """Let all take turns, and print tokens a second, ratios to transformers and shares of the bandwidth."""
    numbers = random.Random(0)
    prompts = [
        [numbers.randrange(300, 8000) for _ in range(numbers.randint(*case.prompt_tokens))]
        for _ in range(case.num_prompts)
    ]
    lengths = [numbers.randint(*case.new_tokens) for _ in prompts]
    dtype = DTYPES[options.dtype]
    works: dict[str, Callable[[], None]] = {PEER: peer(folder, dtype, prompts, max(lengths))}
    step_bytes = {}
    for weights in options.weights:
        engine, step_bytes[weights] = make_engine(folder, weights, dtype)
        works[weights] = lambda engine=engine: run_engine(engine, case, prompts, lengths)  # type: ignore[misc]
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {each: [] for each in works}
    for round_ in range(options.rounds):
        for each in list(works)[:: 1 if round_ % 2 else -1]:
            seconds[each].append(timed(works[each]))
    num_tokens = sum(lengths) if case.counted_tokens == "new" else sum(map(len, prompts))
    for each, times in seconds.items():
        ratios = sorted(theirs / ours for theirs, ours in zip(seconds[PEER], times, strict=True))
        line = f"{name:12} {each:12} {num_tokens / median(times):8.1f} {case.counted_tokens} tokens/s"
        if each != PEER:
            line += f", {median(ratios):.2f} times transformers ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            if case.num_prompts == 1 and case.counted_tokens == "new":
                share = step_bytes[each] * num_tokens / median(times) / bytes_a_second
                line += f", {100 * share:.0f}% of the bandwidth"
            elif case.counted_tokens == "prompt":
                model = model_config(case.size, vocab_size=case.vocab_size)
                flops = 2 * (num_parameters(model) - model.vocab_size * model.hidden_size) * num_tokens
                line += f", {median(times) / (flops / peak()):.2f} times the time of its products at the measured peak"
        print(line, flush=True)


def measure_steps(name: str, case: Case, folder: Path, options: argparse.Namespace) -> None:
    """Print the shortest time of one forward of so many tokens, in turns over the kinds of weights."""
    engines = {weights: make_engine(folder, weights, DTYPES[options.dtype])[0] for weights in options.weights}
    pages = list(range(-(-max(STEPS) // PAGE_TOKENS)))
    for num_tokens in STEPS:
        for weights, engine in engines.items():
            if engine.compiled is None:
                raise SystemExit("the forward cannot be compiled on this machine")
            last = [num_tokens - 1]
            step = partial(engine.compiled.logits, [7] * num_tokens, [Slice(pages, 0, num_tokens)], last)
            step()
            print(f"{name:12} {weights:12} {num_tokens:4} tokens {1000 * best_seconds(step):8.1f} ms", flush=True)


def main() -> None:
    """Measure the cases asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["one40m", "many40m", "mixed40m", "one268m"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="of the folder, for ours and for transformers")
    parser.add_argument("--weights", nargs="+", choices=["stored", *SCHEMES], default=["stored"])
    parser.add_argument("--steps", action="store_true", help="time single forwards of ours instead")
    options = parser.parse_args()
    tune_allocator()
    bytes_a_second = bandwidth()
    print(
        f"{options.dtype}, {torch.get_num_threads()} threads, memory is read at {bytes_a_second / 1e9:.1f} GB/s, "
        f"products at {peak() / 1e9:.0f} GFLOP/s in float32, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    for name in options.cases:
        folder = Path(tempfile.mkdtemp(prefix="generate-cpu-")) / "model"
        try:
            write_folder(CASES[name], folder, DTYPES[options.dtype])
            if options.steps:
                measure_steps(name, CASES[name], folder, options)
            else:
                measure(name, CASES[name], folder, options, bytes_a_second)
        finally:
            shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
