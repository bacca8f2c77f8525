"""Foreign pickles: what is read, what becomes a record, and that nothing is ever run."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from olmo2.base.errors import RunError
from olmo2.release.foreign_pickle import Record, load_records, load_torch_file
from tests.release.foreign_checkpoints import Trap, trainer_state


class Command:
    """Something whose unpickling, were it allowed, would run a shell."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_tensors_and_counts_come_through_and_the_rest_as_records(tmp_path: Path) -> None:
    state = trainer_state() | {"tensor": torch.arange(3.0)}
    torch.save(state, tmp_path / "train.pt")
    loaded = load_torch_file(tmp_path / "train.pt", "train.pt")
    assert loaded["global_step"] == state["global_step"]
    assert torch.equal(loaded["tensor"], state["tensor"])
    assert loaded["rng"]["python"] == state["rng"]["python"]
    assert isinstance(loaded["checkpoints"][0], Record)
    assert loaded["checkpoints"][0].arguments == ("runs", "step5")
    assert isinstance(loaded["rng"]["numpy"][1], Record)


def test_bytes_are_read_like_a_file() -> None:
    buffer = io.BytesIO()
    torch.save(torch.arange(3.0), buffer)
    buffer.seek(0)
    assert torch.equal(load_torch_file(buffer, "a slice"), torch.arange(3.0))


@pytest.mark.parametrize("trap", [Trap, Command])
@pytest.mark.parametrize("protocol", [0, 2])
def test_a_hostile_torch_file_is_refused_and_not_run(tmp_path: Path, trap: Any, protocol: int) -> None:
    path, victim = tmp_path / "model.pt", tmp_path / "victim"
    torch.save({"a": torch.ones(2), "b": trap(victim)}, path, pickle_protocol=protocol)
    with pytest.raises(RunError, match=r"model\.pt (asks for \S+(open|system), .* nothing of it was run|is damaged)"):
        load_torch_file(path, str(path))
    path.write_bytes(pickle.dumps(trap(victim), protocol=protocol))  # no archive at all
    with pytest.raises(RunError, match=r"model\.pt"):
        load_torch_file(path, str(path))
    assert not victim.exists()


@pytest.mark.parametrize("trap", [Trap, Command])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path, trap: Any, protocol: int) -> None:
    victim = tmp_path / "victim"
    data = pickle.dumps({"a": trap(victim)}, protocol=protocol)
    with pytest.raises(RunError, match=r"\.metadata asks for \S+(open|system), .* nothing of it was run"):
        load_records(data, ".metadata", {"builtins.getattr": Record, "pathlib.PosixPath": Record})
    assert not victim.exists()


def test_a_known_name_leads_to_nothing_else(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    through_getattr = (
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\nVos\ntRVsystem\ntR(V" + f"touch {victim}".encode() + b"\ntR."
    )
    with pytest.raises(RunError, match=r"asks for builtins\.__import__"):
        load_records(through_getattr, "file", {"builtins.getattr": Record})
    calling_a_record = b"cbuiltins\ngetattr\n(Vos\nVsystem\ntR(V" + f"touch {victim}".encode() + b"\ntR."
    with pytest.raises(RunError, match="damaged"):
        load_records(calling_a_record, "file", {"builtins.getattr": Record})
    with pytest.raises(RunError, match=r"asks for posix\.system"):  # dots in a name are no way into a module
        load_records(b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "file", {"posix": Record})
    assert not victim.exists()


def test_records_hold_what_the_pickle_says_and_cannot_be_altered_as_a_class() -> None:
    known = {"builtins.complex": Record}
    assert load_records(pickle.dumps(1j), "file", known).arguments == (0.0, 1.0)
    change_the_class = b"cbuiltins\ncomplex\n(N}Varguments\nI1\nstb."
    with pytest.raises(RunError, match="damaged"):
        load_records(change_the_class, "file", known)
    assert not hasattr(Record, "arguments")


@pytest.mark.parametrize("data", [b"", b"\x80", b"nonsense", pickle.dumps({"a": 1})[:-3], b"."])
def test_damaged_pickles_are_one_sentence(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(RunError, match=r"file is damaged or cut short .*; copy or download it again"):
        load_records(data, "file", {})
    (tmp_path / "model.pt").write_bytes(data)
    with pytest.raises(RunError, match=r"model\.pt is damaged or cut short"):
        load_torch_file(tmp_path / "model.pt", str(tmp_path / "model.pt"))


def test_a_torch_file_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RunError, match=r"model\.pt is damaged or cut short"):
        load_torch_file(path, str(path))
