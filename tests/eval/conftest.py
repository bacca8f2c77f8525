"""Folders of data for benchmarks: fetched texts that are not the user's, and one to put rows of our own in."""

from pathlib import Path

import pytest


@pytest.fixture
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
