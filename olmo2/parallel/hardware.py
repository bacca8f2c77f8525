"""What a plan knows of the devices: memory, arithmetic, and how fast they talk to each other.

Units    bytes, operations and bytes a second; dense arithmetic (data sheets often quote sparse, which is twice that)
Sources  data sheets: NVIDIA A100 80GB SXM, H100 SXM, H200 SXM, HGX B200; AMD Instinct MI300X. They quote links both
         ways together; a collective uses one. The network is 400 Gb/s a device, as in DGX H100 and DGX B200 systems,
         and 200 Gb/s with the A100 (DGX A100).
         Best measured products: "maximum achievable matmul FLOPS" of github.com/stas00/ml-engineering, whose H200
         figure is that of a GH200, the same chip. Where that table has none, MEASURED_SHARE of the data sheet's peak.
"""

import os
from dataclasses import dataclass

import torch

from olmo2.base.errors import UsageError
from olmo2.parallel.device import is_bf16_fast, matmul_peak_flops

MEASURED_SHARE = 0.8  # H100 SXM: 794.5 of 989.5 in bfloat16
GIGA, TERA = 1e9, 1e12


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A kind of device, as one of many in a cluster."""

    name: str
    memory_bytes: float
    bf16_peak: float  # the data sheet's, which shares of the peak refer to
    bf16_flops: float  # the best matrix product that was measured
    fp8_flops: float | None  # None = no float8 products
    fp32_flops: float
    memory_bandwidth: float
    link_bandwidth: float  # to the other devices of a machine, one way
    network_bandwidth: float  # of each device to other machines, one way
    devices_per_machine: int = 8
    runtime_bytes: float = 2 * GIGA  # driver context, cuBLAS workspaces, NCCL buffers: an allowance, not a measurement


GPUS = {
    hardware.name: hardware
    for hardware in (
        Hardware(
            name="a100",
            memory_bytes=80 * GIGA,
            bf16_peak=312 * TERA,
            bf16_flops=271.2 * TERA,
            fp8_flops=None,
            fp32_flops=19.5 * TERA,
            memory_bandwidth=2.039 * TERA,
            link_bandwidth=300 * GIGA,
            network_bandwidth=25 * GIGA,
        ),
        Hardware(
            name="h100",
            memory_bytes=80 * GIGA,
            bf16_peak=989.5 * TERA,
            bf16_flops=794.5 * TERA,
            fp8_flops=1402.6 * TERA,
            fp32_flops=67 * TERA,
            memory_bandwidth=3.35 * TERA,
            link_bandwidth=450 * GIGA,
            network_bandwidth=50 * GIGA,
        ),
        Hardware(
            name="h200",
            memory_bytes=141 * GIGA,
            bf16_peak=989.5 * TERA,
            bf16_flops=828.6 * TERA,
            fp8_flops=1535 * TERA,
            fp32_flops=67 * TERA,
            memory_bandwidth=4.8 * TERA,
            link_bandwidth=450 * GIGA,
            network_bandwidth=50 * GIGA,
        ),
        Hardware(
            name="b200",
            memory_bytes=180 * GIGA,
            bf16_peak=2250 * TERA,
            bf16_flops=MEASURED_SHARE * 2250 * TERA,
            fp8_flops=MEASURED_SHARE * 4500 * TERA,
            fp32_flops=75 * TERA,
            memory_bandwidth=7.7 * TERA,
            link_bandwidth=900 * GIGA,
            network_bandwidth=50 * GIGA,
        ),
        Hardware(
            name="mi300x",
            memory_bytes=192 * GIGA,
            bf16_peak=1307.4 * TERA,
            bf16_flops=668.4 * TERA,
            fp8_flops=668.4 / 1307.4 * 2614.9 * TERA,
            fp32_flops=163.4 * TERA,
            memory_bandwidth=5.3 * TERA,
            link_bandwidth=448 * GIGA,
            network_bandwidth=50 * GIGA,
        ),
    )
}


def hardware_for(name: str) -> Hardware:
    """Return the kind of device called `name`; "cpu" is this machine, whose matrix products are measured now."""
    if name == "cpu":
        return this_cpu()
    if name not in GPUS:
        raise UsageError(f"--device-type: there is no {name!r} in the table; known: {', '.join(GPUS)}, cpu")
    return GPUS[name]


def this_cpu() -> Hardware:
    """Measure this machine, as one process with all of its memory. Takes a second."""
    device = torch.device("cpu")
    fp32 = matmul_peak_flops(device, torch.float32)
    bf16 = matmul_peak_flops(device, torch.bfloat16) if is_bf16_fast(device) else fp32
    return Hardware(
        name="cpu",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        bf16_peak=bf16,
        bf16_flops=bf16,
        fp8_flops=None,
        fp32_flops=fp32,
        memory_bandwidth=25 * GIGA,  # two cores of a server read 25 GB/s, measured
        link_bandwidth=1.25 * GIGA,
        network_bandwidth=1.25 * GIGA,  # 10 Gb/s
        devices_per_machine=1,
        runtime_bytes=0.5 * GIGA,  # Python and torch's libraries
    )
