"""Real data behind a folder of our own, for benchmarks; no test looks into the user's cache."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(cache: Path) -> None:
    """Let every test have a cache of its own."""


@pytest.fixture
def real(shared: Path, data: Path, cache: Path) -> Path:
    """An empty folder of data; what is not put into it is found in the shared data."""
    cache.parent.mkdir()
    cache.symlink_to(shared / "data", target_is_directory=True)
    return data
