"""What a file is, told from its start, against what NumPy writes."""

import io

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.data.token_format import START_BYTES, TokenFile, recognise


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("dtype", ["<u2", ">i4", "|b1", "<u8"])
def test_headers_that_numpy_writes(version: tuple[int, int], dtype: str) -> None:
    array, stream = np.ones(1000, dtype), io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    data = stream.getvalue()
    file = recognise("a.npy", len(data), data[:START_BYTES], None)
    assert (file.dtype, file.num_tokens) == (dtype, 1000)
    assert np.array_equal(np.frombuffer(data, file.dtype, file.num_tokens, file.header_bytes), array)


def test_raw_ids() -> None:
    assert recognise("s3://b/a", 12, b"\1" * 12, "uint32") == TokenFile("s3://b/a", "<u4", 3)


@pytest.mark.parametrize(
    "array", [np.array([{"a": 1}], dtype=object), np.zeros(2, "M8[s]"), np.zeros(2, [("a", "i4")])]
)
def test_what_is_no_vector_of_ids(array: np.ndarray) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    with pytest.raises(UsageError, match=r"a\.npy holds a .* array"):
        recognise("a.npy", len(stream.getvalue()), stream.getvalue(), None)
