"""torch's distributed checkpoints: whole and in slices, damaged and hostile ones."""

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from olmo2.base.errors import RunError
from olmo2.release.dcp import DistributedCheckpoint
from tests.release.foreign_checkpoints import Trap, save_distributed

STATE = {
    "model": {"a": torch.arange(12.0).reshape(4, 3), "b": torch.tensor(2.5), "c": torch.ones(5, dtype=torch.bfloat16)},
    "optim": {"state.a.exp_avg": torch.arange(12.0).reshape(4, 3).T, "param_groups.a.lr": 1e-4, "names": {"x", "y"}},
}
CHUNKS = [((0, 0), (1, 3)), ((1, 0), (2, 2)), ((1, 2), (2, 1)), ((3, 0), (1, 3))]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint that torch saved from one process."""
    return save_distributed(STATE, tmp_path / "saved")


def save_in_slices(folder: Path, tensor: torch.Tensor, chunks: list[Any] = CHUNKS, info: Any = _StorageInfo) -> Path:
    """Write `tensor` as several ranks would, each slice appended to one of two files."""
    folder.mkdir()
    places = {}
    for number, (offsets, sizes) in enumerate(chunks):
        name = f"__{number % 2}_0.distcp"
        part = tensor[tuple(slice(first, first + size) for first, size in zip(offsets, sizes, strict=True))]
        with open(folder / name, "ab") as file:
            start = file.tell()
            torch.save(part.clone(), file)
            places[MetadataIndex("w", offsets, number)] = info(name, start, file.tell() - start)
    entries = [ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes)) for offsets, sizes in chunks]
    properties = TensorProperties.create_from_tensor(tensor)
    entry = TensorStorageMetadata(properties, torch.Size((4, 3)), entries)
    (folder / ".metadata").write_bytes(pickle.dumps(Metadata({"w": entry}, storage_data=places)))
    return folder


def test_reads_what_torch_saved(saved: Path) -> None:
    stored = DistributedCheckpoint(saved)
    expected = {f"model.{name}": tensor for name, tensor in STATE["model"].items()}
    expected["optim.state.a.exp_avg"] = STATE["optim"]["state.a.exp_avg"]
    assert stored.headers.keys() == expected.keys()  # what is no tensor is left out, and not even unpickled
    for name, tensor in expected.items():
        assert stored.headers[name] == (tuple(tensor.shape), tensor.dtype)
        assert torch.equal(stored.read(name), tensor)


def test_a_tensor_is_put_together_from_its_slices(tmp_path: Path) -> None:
    tensor = torch.randn(4, 3)
    stored = DistributedCheckpoint(save_in_slices(tmp_path / "sliced", tensor))
    assert torch.equal(stored.read("w"), tensor)


def test_the_class_of_olmo_core_is_known_without_olmo_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "olmo_core.distributed.checkpoint.filesystem"
    theirs = type("_StorageInfo", (_StorageInfo,), {"__module__": name, "__qualname__": "_StorageInfo"})
    module = ModuleType(name)
    module._StorageInfo = theirs  # type: ignore[attr-defined]
    tensor = torch.randn(4, 3)
    with monkeypatch.context() as patch:
        for parent in ("olmo_core", "olmo_core.distributed", "olmo_core.distributed.checkpoint"):
            patch.setitem(sys.modules, parent, ModuleType(parent))
        patch.setitem(sys.modules, name, module)
        folder = save_in_slices(tmp_path / "sliced", tensor, info=theirs)
    assert b"olmo_core" in (folder / ".metadata").read_bytes()
    assert torch.equal(DistributedCheckpoint(folder).read("w"), tensor)


@pytest.mark.parametrize("chunks", [CHUNKS[:-1], [*CHUNKS[:-1], ((3, 1), (1, 2))], [*CHUNKS, CHUNKS[0]]])
def test_slices_that_are_not_the_whole(tmp_path: Path, chunks: list[Any]) -> None:
    folder = save_in_slices(tmp_path / "sliced", torch.ones(4, 3), chunks)
    with pytest.raises(RunError, match=r"\.metadata: the slices of w do not make up the whole tensor"):
        DistributedCheckpoint(folder)


def test_files_that_are_missing_or_cut_short(saved: Path) -> None:
    file = saved / "__0_0.distcp"
    data = file.read_bytes()
    stored = DistributedCheckpoint(saved)
    file.write_bytes(data[:-200])
    with pytest.raises(RunError, match=r"__0_0\.distcp is (cut short|damaged)"):
        for name in stored.headers:
            stored.read(name)
    file.write_bytes(b"\0" * len(data))
    with pytest.raises(RunError, match=r"__0_0\.distcp is damaged"):
        stored.read("model.a")
    file.unlink()
    with pytest.raises(RunError, match=r"__0_0\.distcp is missing"):
        stored.read("model.a")
    metadata = (saved / ".metadata").read_bytes()
    (saved / ".metadata").write_bytes(metadata[: len(metadata) // 2])
    with pytest.raises(RunError, match=r"\.metadata is damaged or cut short"):
        DistributedCheckpoint(saved)
    (saved / ".metadata").unlink()
    with pytest.raises(RunError, match=r"\.metadata is missing"):
        DistributedCheckpoint(saved)


def alter(folder: Path, change: Any) -> None:
    """Change a checkpoint's metadata."""
    metadata = pickle.loads((folder / ".metadata").read_bytes())  # noqa: S301 (our own)
    change(metadata)
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))


def test_metadata_that_lies(saved: Path) -> None:
    whole = (saved / ".metadata").read_bytes()

    def other_dtype(metadata: Metadata) -> None:
        metadata.state_dict_metadata["model.a"].properties.dtype = torch.int32  # type: ignore[union-attr]

    wrong = {
        "does not hold what": other_dtype,
        "lies outside": lambda metadata: [setattr(i, "relative_path", "../x") for i in metadata.storage_data.values()],
        "are not sizes": lambda metadata: [setattr(info, "offset", -5) for info in metadata.storage_data.values()],
        "damaged": lambda metadata: metadata.storage_data.clear(),
    }  # fmt: skip
    for message, change in wrong.items():
        (saved / ".metadata").write_bytes(whole)
        alter(saved, change)
        with pytest.raises(RunError, match=message):
            DistributedCheckpoint(saved).read("model.a")
    for nonsense in (None, [], {"storage_data": 3}):
        (saved / ".metadata").write_bytes(pickle.dumps(nonsense))
        with pytest.raises(RunError, match=r"\.metadata is damaged"):
            DistributedCheckpoint(saved)


def test_compressed_slices_are_refused(saved: Path) -> None:
    alter(saved, lambda m: [setattr(i, "transform_descriptors", ["zstd"]) for i in m.storage_data.values()])
    with pytest.raises(RunError, match=r"__0_0\.distcp is compressed"):
        DistributedCheckpoint(saved)


def test_hostile_metadata_is_refused_and_not_run(saved: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    alter(saved, lambda metadata: setattr(metadata, "planner_data", Trap(victim)))
    with pytest.raises(RunError, match=r"\.metadata asks for \S*open"):
        DistributedCheckpoint(saved)
    assert not victim.exists()


def test_a_hostile_slice_is_refused_and_not_run(tmp_path: Path) -> None:
    folder, victim = save_in_slices(tmp_path / "sliced", torch.ones(4, 3), [((0, 0), (4, 3))]), tmp_path / "victim"
    torch.save(Trap(victim), folder / "__0_0.distcp")
    size = (folder / "__0_0.distcp").stat().st_size
    alter(folder, lambda metadata: [setattr(info, "length", size) for info in metadata.storage_data.values()])
    with pytest.raises(RunError, match=r"__0_0\.distcp asks for \S*open"):
        DistributedCheckpoint(folder).read("w")
    assert not victim.exists()
