"""safetensors files: against the library itself, cut short, sharded, and on a full disk."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from olmo2.base.errors import RunError, UsageError
from olmo2.checkpoint.tensors import (
    INDEX_FILE,
    WEIGHTS_FILE,
    StoredTensors,
    open_weights,
    stored_dtype,
    weight_files,
    write_tensors,
    write_weights,
)

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor(1.5),
    "c": torch.arange(8.0).reshape(2, 4).T,  # not contiguous
    "d": torch.full((4,), -0.0),
}

SHAPES = {name: tensor.shape for name, tensor in TENSORS.items()}


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond `num_bytes`, which the operating system reports as it does a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_one_file_is_what_the_library_reads(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, SHAPES, dtype=torch.float32)
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS_FILE]
    assert_equal(load_file(tmp_path / WEIGHTS_FILE), TENSORS)
    assert_equal(dict(open_weights(tmp_path)), TENSORS)


def test_files_are_as_readable_as_any_other(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, SHAPES, dtype=torch.float32, max_shard_bytes=30)
    (tmp_path / "any").touch()
    assert {path.stat().st_mode for path in tmp_path.iterdir()} == {(tmp_path / "any").stat().st_mode}


def test_shards_hold_no_more_than_allowed_and_the_index_names_them(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, SHAPES, dtype=torch.float32, max_shard_bytes=30)
    index = json.loads((tmp_path / INDEX_FILE).read_text())
    assert index["metadata"]["total_size"] == (6 + 1 + 8 + 4) * 4
    files = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*files, INDEX_FILE])
    read = {}
    for file in files:
        shard = load_file(tmp_path / file)
        assert {name for name, place in index["weight_map"].items() if place == file} == set(shard)
        assert len(shard) == 1 or sum(tensor.nbytes for tensor in shard.values()) <= 30
        read |= shard
    assert_equal(read, TENSORS)
    assert_equal(dict(open_weights(tmp_path)), TENSORS)


def test_weights_are_converted_and_everything_else_is_not(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, SHAPES, dtype=torch.bfloat16)
    assert_equal(load_file(tmp_path / WEIGHTS_FILE), {name: tensor.bfloat16() for name, tensor in TENSORS.items()})
    steps = {"step": torch.tensor(3), "is_on": torch.tensor([True])}
    write_tensors(tmp_path / "optimizer.safetensors", steps)
    assert_equal(dict(StoredTensors([tmp_path / "optimizer.safetensors"])), steps)


def test_float16_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="b holds values above 65504"):
        write_weights(tmp_path, {"b": torch.tensor([7e4])}, {"b": torch.Size([1])}, dtype=torch.float16)
    write_weights(tmp_path, {"a": torch.tensor([float("inf"), 65504.0])}, {"a": torch.Size([2])}, dtype=torch.float16)


def test_shape_and_dtype_are_known_without_reading(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, 3).bfloat16(), "b": torch.zeros(())}, tmp_path / WEIGHTS_FILE)
    stored = open_weights(tmp_path)
    assert stored.shape("a") == (2, 3)
    assert stored.shape("b") == ()
    assert (stored.dtype_name("a"), stored.dtype_name("b")) == ("BF16", "F32")


def test_writing_to_a_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, SHAPES, dtype=torch.float32)
    before = (tmp_path / WEIGHTS_FILE).read_bytes()
    open_weights(tmp_path)["a"].add_(1)
    assert (tmp_path / WEIGHTS_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["float32"], "float32"),
        (["bfloat16", "bfloat16"], "bfloat16"),
        (["float16"], "float16"),
        (["bfloat16", "float32"], "float32"),
        (["bfloat16", "float16"], "float32"),
    ],
)
def test_the_stored_dtype_holds_every_weight(tmp_path: Path, dtypes: list[str], expected: str) -> None:
    tensors = {f"t{number}": torch.zeros(2, dtype=getattr(torch, name)) for number, name in enumerate(dtypes)}
    save_file(tensors, tmp_path / WEIGHTS_FILE)
    assert stored_dtype(open_weights(tmp_path), tmp_path) == getattr(torch, expected)


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, dtype=torch.int8)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(UsageError, match="a is stored as I8"):
        stored_dtype(open_weights(tmp_path), tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_a_file_cut_short_is_noticed(tmp_path: Path, kept: int) -> None:
    write_weights(tmp_path, TENSORS, SHAPES, dtype=torch.float32)
    path = tmp_path / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match=f"{WEIGHTS_FILE} is damaged or cut short"):
        open_weights(tmp_path)


def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, SHAPES, dtype=torch.float32, max_shard_bytes=30)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(RunError, match=r"model-00002-of-00003.safetensors is missing"):
        open_weights(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "1.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "2.safetensors")
    with pytest.raises(UsageError, match="holds a in two of its files"):
        StoredTensors([tmp_path / "1.safetensors", tmp_path / "2.safetensors"])


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": "../other.safetensors"}}'])
def test_a_damaged_index_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / INDEX_FILE).write_text(index)
    with pytest.raises(UsageError, match="weight_map must name a file of this folder"):
        weight_files(tmp_path)


def test_pickles_are_never_read(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"pickle files \(pytorch_model.bin\) are never read.*save_pretrained"):
        open_weights(tmp_path)


def test_a_full_disk_is_an_error_of_the_operating_system(tmp_path: Path) -> None:
    with largest_file(1000), pytest.raises(OSError, match="File too large"):
        write_tensors(tmp_path / "big.safetensors", {"a": torch.zeros(10_000)})
