"""safetensors files written tensor by tensor: as the library reads them, and on a full disk."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from olmo2.base.errors import RunError
from olmo2.checkpoint.tensor_stream import write_tensor_stream
from tests.checkpoint.test_tensors import largest_file

TENSORS = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a": torch.tensor(1.5),
    "c": torch.arange(8.0).reshape(2, 4).T,  # not contiguous
    "ü": torch.full((3,), -0.0, dtype=torch.bfloat16),
}
SHAPES = {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_library_reads_what_it_would_have_written(tmp_path: Path, dtype: torch.dtype) -> None:
    write_tensor_stream(tmp_path / "ours", SHAPES, TENSORS.values(), dtype=dtype)
    save_file({name: tensor.to(dtype).contiguous() for name, tensor in TENSORS.items()}, tmp_path / "theirs")
    ours, theirs = load_file(tmp_path / "ours"), load_file(tmp_path / "theirs")
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == dtype
        assert torch.equal(ours[name], tensor), name


def test_every_tensor_may_have_a_dtype_of_its_own(tmp_path: Path) -> None:
    dtypes = {"b": torch.float32, "a": torch.float32, "c": torch.bfloat16, "ü": torch.bfloat16}
    write_tensor_stream(tmp_path / "ours", SHAPES, TENSORS.values(), dtype=dtypes)
    ours = load_file(tmp_path / "ours")
    for name, tensor in TENSORS.items():
        assert ours[name].dtype == dtypes[name]
        assert torch.equal(ours[name], tensor.to(dtypes[name])), name


def test_tensors_start_aligned(tmp_path: Path) -> None:
    for length in range(1, 10):
        write_tensor_stream(tmp_path / "file", {"a" * length: (1,)}, [torch.ones(1)], dtype=torch.float32)
        data = (tmp_path / "file").read_bytes()
        num_bytes = int.from_bytes(data[:8], "little")
        assert num_bytes % 8 == 0
        assert json.loads(data[8 : 8 + num_bytes])["a" * length]["data_offsets"] == [0, 4]


def test_only_one_tensor_is_asked_for_at_a_time(tmp_path: Path) -> None:
    sizes = []

    def tensors() -> Iterator[torch.Tensor]:
        for _ in range(3):
            sizes.append((tmp_path / "file").stat().st_size)
            yield torch.ones(100_000)

    write_tensor_stream(tmp_path / "file", dict.fromkeys("abc", (100000,)), tensors(), dtype=torch.float32)
    assert sizes[2] - sizes[1] == 400_000  # the one before is on its way to disk when the next is asked for


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with largest_file(1000), pytest.raises(RunError, match=r"cannot write .*file"):
        write_tensor_stream(tmp_path / "file", {"a": (1000,)}, [torch.ones(1000)], dtype=torch.float32)
