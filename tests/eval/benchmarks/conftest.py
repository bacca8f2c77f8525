"""Folders of data for benchmarks: one to put rows of our own in, and one of real data behind it."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of fetched texts, which is not there yet and not the user's."""
    monkeypatch.setenv("OLMO2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "eval"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty folder of data."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def real(shared: Path, data: Path, cache: Path) -> Path:
    """An empty folder of data; what is not put into it is found in the shared data."""
    cache.parent.mkdir()
    cache.symlink_to(shared / "data", target_is_directory=True)
    return data
