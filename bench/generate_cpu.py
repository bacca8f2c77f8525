"""Measure generation beside other programs, on the same folders and prompts, in turns.

    python bench/generate_cpu.py [--cases many40m one1b ...] [--weights stored int8 int4] [--rounds 3] [--steps]
        [--peers transformers vllm=/its/python llama.cpp-q8_0=/its/python ...]

Prompts and weights are random; answers are greedy and end at a length, so that all do the same work. Each peer runs in
a process of its own (`bench/generate_peers.py`), in another environment where a Python is named, with our settings of
the allocator, and reads the folder that ours reads; llama.cpp a GGUF file of it. int8 and int4 are the same model after
`olmo2 quantize`. Beside the tokens a second stands their share of the memory bandwidth, if a step reads all weights.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
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
from olmo2.parallel.allocator import KEEP_BYTES, tune_allocator
from olmo2.parallel.device import is_bf16_fast
from olmo2.release.export import ExportRecipe, export
from olmo2.tokenizer.byte_pair import train_byte_pair

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SCHEMES = {"int8": Scheme(8), "int4": Scheme(4, INT4_GROUP)}
SAME_ALLOCATOR = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(KEEP_BYTES))
PEER_SCRIPT = Path(__file__).with_name("generate_peers.py")
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


def peak(dtype: torch.dtype) -> float:
    """Return the operations a second of a large matrix product."""
    matrix = torch.ones(2048, 2048, dtype=dtype)
    matrix @ matrix
    return 2 * 2048**3 / best_seconds(lambda: matrix @ matrix)


def fast_dtype(name: str) -> torch.dtype:
    """Return a folder's dtype, or float32 where the processor does not multiply bfloat16."""
    return torch.bfloat16 if name == "bf16" and is_bf16_fast(torch.device("cpu")) else torch.float32


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
        tokenizer = train_byte_pair(["as small as can be"] * 9, 280)
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


class Peer:
    """Another program in a process of its own."""

    def __init__(self, name: str, python: str, folder: Path, work: Path) -> None:
        with open(folder / f"{name}.log", "w") as log:
            self.process = subprocess.Popen(
                [python, str(PEER_SCRIPT), name, str(folder), str(work)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
                env={**os.environ, **SAME_ALLOCATOR},
            )  # fmt: skip
        self.log = folder / f"{name}.log"

    def seconds(self) -> float:
        """Let it answer all prompts once, and return the seconds."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended:\n" + "\n".join(self.log.read_text().splitlines()[-20:]))
        return float(line)

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def start_peers(options: argparse.Namespace, folder: Path, work: Path) -> dict[str, Peer]:
    """Start the peers asked for, one after the other."""
    peers = {}
    for asked in options.peers:
        name, _, python = asked.partition("=")
        if name.startswith("llama.cpp-"):
            kind: Any = name.removeprefix("llama.cpp-")
            output = str(folder / f"{kind}.gguf")
            export(ExportRecipe(checkpoint=str(folder), output=output, format="gguf", gguf_type=kind))
        peers[name] = Peer(name, python or sys.executable, folder, work)
        peers[name].seconds()
    return peers


def measure(name: str, case: Case, folder: Path, options: argparse.Namespace, bytes_a_second: float) -> None:
    """Let all take turns, and print tokens a second, ratios to the peers and shares of the bandwidth."""
    numbers = random.Random(0)
    prompts = [
        [numbers.randrange(300, 8000) for _ in range(numbers.randint(*case.prompt_tokens))]
        for _ in range(case.num_prompts)
    ]
    lengths = [numbers.randint(*case.new_tokens) for _ in prompts]
    work = folder / "work.json"
    work.write_text(json.dumps({"prompts": prompts, "lengths": lengths}))
    peers = start_peers(options, folder, work)
    takers: dict[str, Callable[[], float]] = {peer: each.seconds for peer, each in peers.items()}
    step_bytes = {}
    for weights in options.weights:
        engine, step_bytes[weights] = make_engine(folder, weights, DTYPES[options.dtype])
        takers[weights] = partial(timed, partial(run_engine, engine, case, prompts, lengths))
        takers[weights]()
    seconds: dict[str, list[float]] = {each: [] for each in takers}
    for round_ in range(options.rounds):
        for each in list(takers)[:: 1 if round_ % 2 else -1]:
            time.sleep(0.5)  # threads that spin after their work come to rest
            seconds[each].append(takers[each]())
    for each in peers.values():
        each.close()
    num_tokens = sum(lengths) if case.counted_tokens == "new" else sum(map(len, prompts))
    for each, times in seconds.items():
        line = f"{name:12} {each:18} {num_tokens / median(times):8.1f} {case.counted_tokens} tokens/s"
        if each not in peers:
            line += share(case, num_tokens, median(times), step_bytes[each], bytes_a_second, fast_dtype(options.dtype))
            for peer in peers:
                ratios = sorted(theirs / ours for theirs, ours in zip(seconds[peer], times, strict=True))
                line += f"\n{'':32} {median(ratios):5.2f} times {peer} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(line, flush=True)


def share(
    case: Case, num_tokens: int, seconds: float, step_bytes: int, bytes_a_second: float, dtype: torch.dtype
) -> str:
    """Return how near the machine's limit a time is."""
    if case.counted_tokens == "prompt":
        model = model_config(case.size, vocab_size=case.vocab_size)
        flops = 2 * (num_parameters(model) - model.vocab_size * model.hidden_size) * num_tokens
        return f", {seconds / (flops / peak(dtype)):.2f} times the time of its products at the measured peak"
    if case.num_prompts == 1:
        return f", {100 * step_bytes * num_tokens / seconds / bytes_a_second:.0f}% of the bandwidth"
    return ""


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
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="of the folder")
    parser.add_argument("--weights", nargs="+", choices=["stored", *SCHEMES], default=["stored"])
    parser.add_argument("--peers", nargs="*", default=["transformers"], help="NAME or NAME=PYTHON")
    parser.add_argument("--steps", action="store_true", help="time single forwards of ours instead")
    options = parser.parse_args()
    tune_allocator()
    bytes_a_second = bandwidth()
    print(
        f"{options.dtype}, {torch.get_num_threads()} threads, memory is read at {bytes_a_second / 1e9:.1f} GB/s, "
        f"products at {peak(fast_dtype(options.dtype)) / 1e9:.0f} GFLOP/s in {fast_dtype(options.dtype)}, "
        f"load {os.getloadavg()[0]:.1f}",
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
