"""How many pages a cache gets."""

import os

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
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
