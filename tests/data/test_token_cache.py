"""Arrays are made once, come back as they were, and are made again when what is stored is not whole."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from olmo2.base.errors import RunError
from olmo2.data.token_cache import cache_key, cached_arrays, find_arrays, store_arrays

ARRAYS = {
    "input_ids": np.arange(1000, dtype=np.int32),
    "is_target": np.array([True, False]),
    "ends": np.zeros(0, np.int64),
    "num_truncated": np.array(7),
    "logprobs": np.ones((3, 2), np.float32),
}
MAKE_SLOWLY = """
import sys, time
from pathlib import Path
import numpy as np
from olmo2.data.token_cache import cached_arrays

def make():
    print("made", flush=True)
    time.sleep(0.3)
    return {"values": np.arange(5)}

assert cached_arrays(Path(sys.argv[1]), "key", make)["values"].tolist() == [0, 1, 2, 3, 4]
"""


def never() -> dict[str, np.ndarray]:
    raise AssertionError("it is there already")


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name]) and left[name].dtype == right[name].dtype for name in left
    )


def test_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert find_arrays(folder, "key") is None
    assert same(cached_arrays(folder, "key", lambda: ARRAYS), ARRAYS)
    again = cached_arrays(folder, "key", never)
    assert same(again, ARRAYS)
    assert isinstance(again["input_ids"], np.memmap) and not again["input_ids"].flags.writeable
    assert int(again["num_truncated"]) == 7
    other = cached_arrays(folder, "other", lambda: {"input_ids": np.arange(3)})
    assert other["input_ids"].tolist() == [0, 1, 2]
    assert sorted(path.name for path in folder.iterdir()) == ["key", "key.lock", "other", "other.lock"]


def test_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert same(cached_arrays(None, "key", lambda: ARRAYS), ARRAYS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "input_ids.npy").unlink(),
        lambda entry: (entry / "input_ids.npy").write_bytes((entry / "input_ids.npy").read_bytes()[:-4]),
        lambda entry: (entry / "input_ids.npy").write_bytes((entry / "input_ids.npy").read_bytes()[:-1] + b"\1"),
        lambda entry: (entry / "contents.json").unlink(),
        lambda entry: (entry / "contents.json").write_text("{"),
        lambda entry: (entry / "contents.json").write_text("[]"),
        lambda entry: (entry / "contents.json").write_text(json.dumps({"nothing": "0"})),
    ],
    ids=["no file", "cut short", "a byte differs", "no contents", "no JSON", "no object", "unknown file"],
)
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: object) -> None:
    cached_arrays(tmp_path, "key", lambda: ARRAYS)
    assert callable(damage)
    damage(tmp_path / "key")
    assert find_arrays(tmp_path, "key") is None
    assert same(cached_arrays(tmp_path, "key", lambda: ARRAYS), ARRAYS)
    assert same(cached_arrays(tmp_path, "key", never), ARRAYS)


def test_what_is_whole_is_not_written_again(tmp_path: Path) -> None:
    store_arrays(tmp_path, "key", ARRAYS)
    store_arrays(tmp_path, "key", {"input_ids": np.zeros(1)})
    found = find_arrays(tmp_path, "key")
    assert found is not None and same(found, ARRAYS)


def test_no_pickle_is_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        store_arrays(tmp_path, "key", {"objects": np.array([{}])})
    assert [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_an_error_while_making_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> dict[str, np.ndarray]:
        raise RunError("the rows are gone")

    with pytest.raises(RunError, match="the rows are gone"):
        cached_arrays(tmp_path, "key", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_one_of_several_processes_makes_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE_SLOWLY, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(outputs) == [b"", b"", b"made\n"]


def test_a_full_disk_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit on the size of files stands for the full disk."""
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        arrays = cached_arrays(tmp_path, "key", lambda: ARRAYS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert same(arrays, ARRAYS)
    assert "free some space" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / ("x" * 300)):  # a name too long
        assert same(cached_arrays(folder, "key", lambda: ARRAYS), ARRAYS)
        assert "going on without the cache" in capsys.readouterr().out


def test_keys() -> None:
    key = cache_key(seq_len=8, sources=["a", "b"])
    assert key == cache_key(sources=["a", "b"], seq_len=8) and len(key) == 32
    assert len({key, cache_key(seq_len=9, sources=["a", "b"]), cache_key(seq_len=8, sources=["b", "a"])}) == 3
    with pytest.raises(TypeError):
        cache_key(anything=object())
