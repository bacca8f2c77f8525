"""How many pages a cache gets."""

import os
import re
import sys
from pathlib import Path

import torch

from olmo2.base.errors import UsageError
from olmo2.inference.paged_cache import page_bytes
from olmo2.inference.pages import PAGE_TOKENS
from olmo2.model.sizes import ModelConfig

CPU_SHARE, GPU_SHARE = 0.5, 0.85  # of the memory that is free


def num_pages_for(
    config: ModelConfig,
    dtype: torch.dtype,
    device: torch.device,
    *,
    cache_tokens: int | None,
    max_sequences: int,
) -> int:
    """Return the pages of a cache of `cache_tokens`, or else of as many as can be used and have room.

    Raises UsageError if there is room for none.
    """
    if cache_tokens is not None:
        return -(-cache_tokens // PAGE_TOKENS)
    useful = max_sequences * -(-(config.max_position_embeddings + 1) // PAGE_TOKENS)
    room = int(free_bytes(device) * (CPU_SHARE if device.type == "cpu" else GPU_SHARE)) // page_bytes(config, dtype)
    if room == 0:
        raise UsageError(f"{device} has no memory left for keys and values; free some or use a smaller model")
    return min(useful, room)


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(available_bytes(), room_of_container())


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the memory that programs can have, that of cached files included; without Linux's word, what is unused."""
    try:
        found = re.search(r"^MemAvailable: +(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def room_of_container(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Return what is left of the memory that this container's control group (version 2) may have; without one, all."""
    try:
        limit, used = (group / "memory.max").read_text().strip(), int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(0, int(limit) - used + int(stat.get("inactive_file", 0)))
