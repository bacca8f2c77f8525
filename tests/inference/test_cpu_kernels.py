"""The library is compiled once for a processor; where it cannot be, a sentence says why."""

import ctypes
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from olmo2.base.cache import cache_folder
from olmo2.inference import cpu_kernels
from olmo2.inference.cpu_kernels import load_kernels, processor


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("OLMO2_CACHE", str(tmp_path / "cache"))
    load_kernels.cache_clear()
    yield
    load_kernels.cache_clear()


def test_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = load_kernels()
    if isinstance(library, str):
        pytest.skip(library)
    assert isinstance(library, ctypes.CDLL) and library.forward_lanes() in (8, 16)
    (file,) = (tmp_path / "cache" / "kernels").iterdir()
    assert cache_folder() / "kernels" == file.parent and file.parent.stat().st_mode & 0o077 == 0
    load_kernels.cache_clear()
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("compiled again"))
    assert isinstance(load_kernels(), ctypes.CDLL)


def test_another_processor_gets_another_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if isinstance(load_kernels(), str):
        pytest.skip("no compiler")
    load_kernels.cache_clear()
    monkeypatch.setattr(cpu_kernels, "processor", lambda: "flags : abacus")
    load_kernels()
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 2
    assert processor()


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert load_kernels() == "a C++ compiler (g++ or clang++) is missing"


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_kernels, "FLAGS", ("--no-such-flag",))
    assert "could not compile cpu_forward.cpp: " in str(load_kernels())


def test_no_room_for_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert "cannot be made or loaded" in str(load_kernels())
