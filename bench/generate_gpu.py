"""Measure generation on a GPU: tokens a second beside what its memory bandwidth allows.

    PYTHONPATH=. python bench/generate_gpu.py [--size olmo2-1b] [--weights stored int8 int4] [--batches 1 16 256]
                                              [--prompt_tokens 32] [--transformers] [--trace FOLDER]

Random weights in bfloat16, greedy answers of a fixed length behind prompts of one length. The limit is reading all
weights but the embedding once a step, at the bandwidth that a large copy reaches in the same run; keys and values are
not counted. Steps of one token are recorded CUDA graphs; `--eager` measures without them,
`--transformers` its generate with a model of the same shape.
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from olmo2.checkpoint.quantized_folder import quantize_layers
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.quantize import INT4_GROUP
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.quantized import Scheme
from olmo2.model.sizes import SIZES, model_config
from olmo2.model.transformer import Transformer
from olmo2.parallel.device import choose_device, wait_for
from olmo2.tokenizer.byte_pair import train_byte_pair
from olmo2.train.step_profiler import operator_table, start_profiler

SCHEMES = {"int8": Scheme(8), "int4": Scheme(4, INT4_GROUP)}
NEW_TOKENS, WEIGHT_STD = 128, 0.02
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


def random_model(size: str, weights: str) -> Transformer:
    """Return a model with random weights."""
    with torch.device(DEVICE):
        model = Transformer(model_config(size)).to(torch.bfloat16)
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=WEIGHT_STD) if parameter.dim() > 1 else torch.nn.init.ones_(parameter)
        model.requires_grad_(False)
        if weights in SCHEMES:
            quantize_layers(model, SCHEMES[weights], Scheme(8))
    return model


def bytes_of_a_step(model: Transformer) -> int:
    """Return the bytes of all weights but the embedding."""
    embedding = model.model.embed_tokens.weight
    num_bytes = sum(tensor.numel() * tensor.itemsize for tensor in model.state_dict().values())
    return num_bytes - embedding.numel() * embedding.itemsize


def random_prompts(batch: int, length: int) -> list[list[int]]:
    """Return prompts that share no beginning."""
    numbers = random.Random(0)
    return [[numbers.randrange(300, 8000) for _ in range(length)] for _ in range(batch)]


def our_run(model: Transformer, prompts: list[list[int]], *, eager: bool) -> Callable[[int], Any]:
    """Return what answers all prompts with so many tokens."""
    batch, length = len(prompts), len(prompts[0])
    settings = EngineSettings(max_sequences=batch, cache_tokens=batch * (length + 2 * NEW_TOKENS), step_tokens=8192)
    engine = Engine(model, train_byte_pair(["as small as can be"] * 9, 280), settings)
    if eager:
        engine.recorded = None

    def run(num_tokens: int) -> None:
        engine.pool.forget_all()
        sampling = SamplingSettings(max_new_tokens=num_tokens, ignore_end=True)
        engine.run([Request(prompt, sampling) for prompt in prompts])

    return run


def their_run(size: str, prompts: list[list[int]]) -> Callable[[int], Any]:
    """Return what does the same with transformers."""
    from transformers import Olmo2Config, Olmo2ForCausalLM

    config = model_config(size)
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    shape = {name: getattr(config, name) for name in (*names, "vocab_size", "max_position_embeddings", "rms_norm_eps")}
    with torch.device(DEVICE):
        their_model: Any = Olmo2ForCausalLM(Olmo2Config(**shape, pad_token_id=1, eos_token_id=None)).bfloat16().eval()
        ids = torch.tensor(prompts)

    def run(num_tokens: int) -> None:
        their_model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=num_tokens, do_sample=False)

    return run


def step_seconds(run: Callable[[int], Any], rounds: int) -> float:
    """Return the median seconds of one token of every answer, the prompts' own step taken off."""
    run(NEW_TOKENS)  # records, and warms up
    long, short = (median(seconds(partial(run, number)) for _ in range(rounds)) for number in (NEW_TOKENS, 1))
    return (long - short) / (NEW_TOKENS - 1)


def trace(run: Callable[[int], Any], folder: Path, name: str) -> None:
    """Write where the time of a short run goes."""
    profiler = start_profiler()
    run(8)
    wait_for(DEVICE)
    profiler.stop()
    (folder / f"{name}.txt").write_text(operator_table(profiler))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="olmo2-1b")
    parser.add_argument("--weights", nargs="+", choices=["stored", *SCHEMES], default=["stored", *SCHEMES])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16, 256])
    parser.add_argument("--prompt_tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--trace", type=Path, help="write tables of operators into this folder")
    options = parser.parse_args()
    bytes_a_second = bandwidth()
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "no GPU: to try it only"
    print(f"{name}, torch {torch.__version__}, {bytes_a_second / 1e9:.0f} GB/s in a copy", flush=True)
    for weights in [*options.weights, *["transformers"] * options.transformers]:
        model = None if weights == "transformers" else random_model(options.size, weights)
        for batch in options.batches:
            prompts = random_prompts(batch, options.prompt_tokens)
            run = their_run(options.size, prompts) if model is None else our_run(model, prompts, eager=options.eager)
            step = step_seconds(run, options.rounds)
            speed = f"{batch / step:10.1f} tokens/s, {1000 * step:6.2f} ms a step"
            line = f"{options.size} {weights:12} {batch:4} answers {speed}"
            if model is not None:
                line += f", {bytes_of_a_step(model) / step / bytes_a_second:4.0%} of the bandwidth"
            print(line, flush=True)
            if options.trace:
                trace(run, options.trace, f"{weights}-{batch}")
            del run


if __name__ == "__main__":
    main()
