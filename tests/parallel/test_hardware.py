"""The table of devices: what data sheets say of them, and this machine."""

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.parallel import hardware
from olmo2.parallel.hardware import GPUS, hardware_for


def test_figures_are_possible() -> None:
    for name, gpu in GPUS.items():
        assert gpu.name == name
        assert gpu.fp32_flops < gpu.bf16_flops <= gpu.bf16_peak
        assert gpu.fp8_flops is None or gpu.bf16_flops < gpu.fp8_flops <= 2 * gpu.bf16_peak
        assert gpu.network_bandwidth < gpu.link_bandwidth < gpu.memory_bandwidth


def test_the_h100_is_that_of_the_published_shares_of_the_peak() -> None:
    assert hardware_for("h100").bf16_peak == 989.5e12  # OLMo-core src/olmo_core/train/callbacks/speed_monitor.py


def test_the_cpu_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {torch.float32: 1e11, torch.bfloat16: 4e11}
    monkeypatch.setattr(hardware, "matmul_peak_flops", lambda device, dtype: peaks[dtype])
    monkeypatch.setattr(hardware, "is_bf16_fast", lambda device: False)
    cpu = hardware_for("cpu")
    assert (cpu.fp32_flops, cpu.bf16_flops, cpu.fp8_flops) == (1e11, 1e11, None)
    assert cpu.memory_bytes > 1e9
    monkeypatch.setattr(hardware, "is_bf16_fast", lambda device: True)
    assert hardware_for("cpu").bf16_flops == 4e11


def test_an_unknown_device() -> None:
    with pytest.raises(UsageError, match="no 'tpu' in the table; known: a100, h100"):
        hardware_for("tpu")
