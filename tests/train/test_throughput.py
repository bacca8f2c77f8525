"""Speed is counted over the steps alone, in the units its names say."""

import time

import pytest
import torch

from olmo2.train import throughput
from olmo2.train.throughput import Throughput, peak_memory_bytes


def test_figures_follow_from_tokens_and_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 11.0, 50.0, 53.0])  # steps of one and three seconds with a long evaluation between them
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(clock))
    speed = Throughput(peak_flops_per_second=1200)
    for _ in range(2):
        speed.start_step()
        speed.end_step(tokens=100, flops=600)
    figures = speed.measure()
    assert figures["throughput_tokens_per_second"] == pytest.approx(50)
    assert figures["matmul_peak_ratio"] == pytest.approx(0.25)
    assert figures["slowest_step_seconds"] == pytest.approx(3)


def test_each_measurement_starts_again() -> None:
    speed = Throughput(1e9)
    speed.start_step()
    time.sleep(0.01)
    speed.end_step(100, 600)
    assert speed.measure()["throughput_tokens_per_second"] > 0
    after = speed.measure()
    assert (after["throughput_tokens_per_second"], after["slowest_step_seconds"]) == (0, 0)


def test_memory_counts_a_large_tensor() -> None:
    before = peak_memory_bytes()
    tensor = torch.ones(100_000_000 // 4 + before // 4)
    assert peak_memory_bytes() >= before + 50_000_000
    del tensor
