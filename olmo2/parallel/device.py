"""Which device and number format a command computes with, and how fast that device multiplies matrices."""

import time

import torch

from olmo2.base.errors import UsageError

DEVICES = ("cuda", "mps", "xpu", "cpu")  # in the order of preference
COMPUTE_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
PEAK_SECONDS = 0.4  # how long the matmul peak is measured


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" takes the first that is present of cuda, mps, xpu, cpu.

    With several processes on one machine the caller adds the index of its own device.
    """
    present = [device for device in DEVICES if is_present(device)]
    if name == "auto":
        return torch.device(present[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device: {name!r} is no device; choose auto, {', '.join(DEVICES)} or cuda:0") from None
    if device.type not in present:
        raise UsageError(f"device: {name!r} is not on this machine; present: {', '.join(present)}")
    if device.index is not None and device.type != "cpu" and device.index >= num_devices(device.type):
        raise UsageError(f"device: {name!r} is not on this machine, which has {num_devices(device.type)} of that kind")
    return device


def is_present(kind: str) -> bool:
    """Tell whether this machine has a device of this kind that torch can use."""
    match kind:
        case "cuda":
            return torch.cuda.is_available()
        case "mps":
            return torch.backends.mps.is_available()
        case "xpu":
            return torch.xpu.is_available()
        case _:
            return kind == "cpu"


def num_devices(kind: str) -> int:
    """Count the devices of a kind that is present."""
    match kind:
        case "cuda":
            return torch.cuda.device_count()
        case "xpu":
            return torch.xpu.device_count()
        case _:
            return 1


def choose_compute_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of activations; "auto" takes bfloat16 where the device multiplies it faster, else float32."""
    if name == "auto":
        return torch.bfloat16 if is_bf16_fast(device) else torch.float32
    if name not in COMPUTE_DTYPES:
        raise UsageError(f"compute dtype: {name!r} is unknown; choose auto, {', '.join(COMPUTE_DTYPES)}")
    return COMPUTE_DTYPES[name]


def is_bf16_fast(device: torch.device) -> bool:
    """Tell whether the device has bfloat16 matrix instructions (on CPUs AVX512_BF16 or AMX)."""
    match device.type:
        case "cuda":
            return torch.cuda.get_device_capability(device) >= (8, 0)
        case "xpu":
            return torch.xpu.is_bf16_supported(including_emulation=False)
        case "cpu":
            return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        case _:
            return False


def matmul_peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the floating-point operations per second of the best square matrix product, in about half a second."""
    size = 1024 if device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = torch.empty(size, size, device=device, dtype=dtype)
    best = float("inf")
    started = time.perf_counter()
    while time.perf_counter() - started < PEAK_SECONDS:
        before = time.perf_counter()
        torch.mm(left, right.T, out=product)
        wait_for(device)
        best = min(best, time.perf_counter() - before)
    return 2 * size**3 / best


def wait_for(device: torch.device) -> None:
    """Return when everything queued on the device has been computed."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
