"""The cache gets what was asked for, else what is useful, else a part of what is free."""

import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.inference import memory_budget
from olmo2.inference.memory_budget import available_bytes, free_bytes, num_pages_for, room_of_container
from olmo2.inference.paged_cache import page_bytes
from olmo2.model.sizes import SIZES

CPU = torch.device("cpu")
CONFIG = SIZES["olmo2-1b"]  # contexts of 4,096


def pages(cache_tokens: int | None = None, max_sequences: int = 2, free: int = 10**15) -> int:
    with patch.object(memory_budget, "free_bytes", lambda device: free):
        return num_pages_for(CONFIG, torch.bfloat16, CPU, cache_tokens=cache_tokens, max_sequences=max_sequences)


def test_pages() -> None:
    assert pages(cache_tokens=100) == 7
    assert pages() == 2 * 257, "and the token behind the context"
    assert page_bytes(CONFIG, torch.bfloat16) == 2 * 16 * 2048 * 16 * 2
    assert pages(free=10**9) == 5 * 10**8 // page_bytes(CONFIG, torch.bfloat16)


def test_no_room() -> None:
    with pytest.raises(UsageError, match="cpu has no memory left for keys and values"):
        pages(free=1000)


def test_cached_files_count_as_free(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemFree:   3 kB\nMemAvailable:    70 kB\n")
    assert available_bytes(tmp_path / "meminfo") == 70 * 1024
    assert available_bytes(tmp_path / "gone") > 10**7


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    assert room_of_container(tmp_path) == sys.maxsize
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 250\n")
    for limit, room in (("max\n", sys.maxsize), ("1000\n", 350), ("500\n", 0)):
        (tmp_path / "memory.max").write_text(limit)
        assert room_of_container(tmp_path) == room


def test_this_machine_has_some() -> None:
    assert 10**8 < free_bytes(CPU) < 10**14
