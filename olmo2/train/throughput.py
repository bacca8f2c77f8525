"""How fast a run goes: tokens a second, the share of the machine's matmul peak, and memory."""

import resource
import sys
import time

import torch


class Throughput:
    """Measures the steps between two calls of `measure`; time spent on evaluation and saving is left out."""

    def __init__(self, peak_flops_per_second: float) -> None:
        self.peak_flops_per_second = peak_flops_per_second
        self.tokens = 0
        self.flops = 0.0
        self.seconds = 0.0
        self.slowest_seconds = 0.0
        self.started = 0.0

    def start_step(self) -> None:
        """Note that a step begins."""
        self.started = time.perf_counter()

    def end_step(self, tokens: int, flops: float) -> None:
        """Note that the step has ended, how many tokens went through it and what they cost."""
        seconds = time.perf_counter() - self.started
        self.seconds += seconds
        self.slowest_seconds = max(self.slowest_seconds, seconds)
        self.tokens += tokens
        self.flops += flops

    def measure(self) -> dict[str, float]:
        """Return the figures since the last call, by name with unit."""
        tokens_per_second = self.tokens / max(self.seconds, 1e-9)
        flops_per_second = self.flops / max(self.seconds, 1e-9)
        slowest_seconds = self.slowest_seconds
        self.tokens, self.flops, self.seconds, self.slowest_seconds = 0, 0.0, 0.0, 0.0
        return {
            "throughput_tokens_per_second": tokens_per_second,
            "slowest_step_seconds": slowest_seconds,
            "matmul_peak_ratio": flops_per_second / self.peak_flops_per_second,
            "memory_gigabytes": peak_memory_bytes() / 1e9,
        }


def peak_memory_bytes() -> int:
    """Return the most memory held so far: of the CUDA device if one is in use, else of the process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes on Linux
