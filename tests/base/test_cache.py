"""Where the cache is, and that processes take turns with what is in it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from olmo2.base.cache import cache_folder, one_at_a_time
from olmo2.base.errors import RunError

TAKE_A_TURN = """
import sys, time
from pathlib import Path
from olmo2.base.cache import one_at_a_time

path = Path(sys.argv[1])
with one_at_a_time(path):
    print("begun", flush=True)
    time.sleep(0.2)
    path.write_text("made")
"""


def test_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OLMO2_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("OLMO2_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "olmo2"


def test_another_process_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with subprocess.Popen([sys.executable, "-c", TAKE_A_TURN, path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"begun\n"
        with one_at_a_time(path):
            assert path.read_text() == "made"
        assert other.wait() == 0


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match=r"cannot write .*a file stands where a folder should"),
        one_at_a_time(tmp_path / "file" / "entry"),
    ):
        time.sleep(0)
