"""Measure generation on a GPU: tokens a second beside what its memory bandwidth allows.

    PYTHONPATH=. python bench/generate_gpu.py [--size olmo2-1b] [--weights stored int8 int4] [--batches 1 16 256]

Random weights in bfloat16, greedy answers of a fixed length behind prompts of 32 tokens. The limit is reading all
weights but the embedding once a step, at the bandwidth that a large copy reaches in the same run; keys and values are
not counted. Steps of one token are recorded CUDA graphs; `--eager` measures without them.
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch

from olmo2.checkpoint.quantized_folder import quantize_layers
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.quantize import INT4_GROUP
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.init import initialise
from olmo2.model.quantized import Scheme
from olmo2.model.sizes import SIZES, model_config
from olmo2.model.transformer import Transformer
from olmo2.parallel.device import choose_device, wait_for
from olmo2.tokenizer.byte_pair import train_byte_pair

SCHEMES = {"int8": Scheme(8), "int4": Scheme(4, INT4_GROUP)}
PROMPT_TOKENS, NEW_TOKENS = 32, 128
DEVICE = choose_device("auto")


def seconds(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes."""
    wait_for(DEVICE)
    started = time.perf_counter()
    work()
    wait_for(DEVICE)
    return time.perf_counter() - started


def bandwidth() -> float:
    """Return the bytes a second that a copy reads and writes."""
    source = torch.empty(2**30, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.numel() / min(seconds(lambda: target.copy_(source)) for _ in range(9))


def make_engine(size: str, weights: str, batch: int, *, eager: bool) -> tuple[Engine, int]:
    """Return an engine with random weights, and the bytes that a step reads."""
    model = Transformer(model_config(size))
    initialise(model, 0)
    model = model.to(torch.bfloat16).to(DEVICE)
    if weights in SCHEMES:
        quantize_layers(model, SCHEMES[weights], Scheme(8))
    cache_tokens = batch * 2 * (PROMPT_TOKENS + NEW_TOKENS)
    settings = EngineSettings(max_sequences=batch, cache_tokens=cache_tokens, step_tokens=8192)
    engine = Engine(model, train_byte_pair(["as small as can be"] * 9, 280), settings)
    if eager:
        engine.recorded = None
    embedding = model.model.embed_tokens.weight
    num_bytes = sum(tensor.numel() * tensor.itemsize for tensor in model.state_dict().values())
    return engine, num_bytes - embedding.numel() * embedding.itemsize


def measure(engine: Engine, batch: int, rounds: int) -> float:
    """Return the median seconds of one step of `batch` answers, the prompts' own step taken off."""
    numbers = random.Random(0)
    prompts = [[numbers.randrange(300, 8000) for _ in range(PROMPT_TOKENS)] for _ in range(batch)]

    def run(num_tokens: int) -> None:
        engine.pool.forget_all()
        sampling = SamplingSettings(max_new_tokens=num_tokens, ignore_end=True)
        engine.run([Request(prompt, sampling) for prompt in prompts])

    run(NEW_TOKENS)  # records, and warms up
    long, short = (median(seconds(partial(run, number)) for _ in range(rounds)) for number in (NEW_TOKENS, 1))
    return (long - short) / (NEW_TOKENS - 1)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="olmo2-1b")
    parser.add_argument("--weights", nargs="+", choices=["stored", *SCHEMES], default=["stored", *SCHEMES])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--eager", action="store_true")
    options = parser.parse_args()
    bytes_a_second = bandwidth()
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "no GPU: to try it only"
    print(f"{name}, torch {torch.__version__}, {bytes_a_second / 1e9:.0f} GB/s in a copy", flush=True)
    for weights in options.weights:
        for batch in options.batches:
            engine, step_bytes = make_engine(options.size, weights, batch, eager=options.eager)
            step = measure(engine, batch, options.rounds)
            share = 100 * step_bytes / step / bytes_a_second
            print(
                f"{options.size} {weights:7} {batch:4} answers {batch / step:10.1f} tokens/s, "
                f"{1000 * step:6.2f} ms a step, {share:3.0f}% of the bandwidth",
                flush=True,
            )
            del engine


if __name__ == "__main__":
    main()
