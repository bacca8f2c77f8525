"""What a file of token ids is, told from its name, size and first bytes: raw ids, or a NumPy header before them."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olmo2.base.errors import UsageError
from olmo2.data.provenance import INDEX_SUFFIX

RAW_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int32", "int64")
NUMPY_MAGIC = b"\x93NUMPY"
START_BYTES = 1024  # enough for the header of any vector that numpy.save writes
NOT_TOKENS = (".json", ".jsonl", ".gz", ".zst", ".parquet", ".csv", ".txt", ".md", ".yaml", INDEX_SUFFIX)


@dataclass(frozen=True)
class TokenFile:
    """A file of token ids that has been looked at but not read."""

    path: Path | str
    """Text if it is the address of a remote file."""
    dtype: str
    """As NumPy writes it, with the byte order: "<u4"."""
    num_tokens: int
    header_bytes: int = 0
    tokenizer: str | None = None
    """Fingerprint of the tokenizer it was made with, if its folder says so."""


def recognise(path: Path | str, size: int, start: bytes, dtype: str | None) -> TokenFile:
    """Say what a file of `size` bytes holds: raw ids of type `dtype`, or what the NumPy header in its `start` says.

    Raises UsageError naming the file if that is no whole number of token ids.
    """
    if size == 0:
        raise UsageError(f"the token file {path} is empty; write it again or leave it out")
    if start.startswith(NUMPY_MAGIC):
        return recognise_numpy(path, size, start)
    if str(path).endswith(NOT_TOKENS):
        raise UsageError(f"{path} is not a file of token ids; turn text into a token folder first (olmo2 tokenize)")
    if dtype is None:
        raise UsageError(
            f"{path} has no header that says the type of its token ids: set data.dtype to it (uint32 for ids of "
            "the OLMo 2 tokenizer, uint16 for vocabularies of up to 65,536)"
        )
    raw = np.dtype(dtype).newbyteorder("<")
    if size % raw.itemsize:
        raise UsageError(
            f"{path} has {size:,} bytes, which is not a whole number of {dtype} tokens; it is cut short or data.dtype "
            "is wrong"
        )
    return TokenFile(path, raw.str, size // raw.itemsize)


def recognise_numpy(path: Path | str, size: int, start: bytes) -> TokenFile:
    """Say what a file written by numpy.save holds: a vector of integers or booleans that fills its `size` bytes."""
    stream = io.BytesIO(start)
    try:
        is_first = np.lib.format.read_magic(stream) == (1, 0)
        read_header = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    except ValueError as error:
        raise UsageError(f"{path} is a damaged NumPy file ({str(error).rstrip('.')}); write it again") from None
    if len(shape) != 1 or dtype.kind not in "uib" or shape[0] == 0:
        raise UsageError(f"{path} holds a {dtype} array of shape {shape}, not a vector of token ids")
    if stream.tell() + shape[0] * dtype.itemsize != size:
        raise UsageError(f"{path} is longer or shorter than its NumPy header says; write it again")
    return TokenFile(path, dtype.str, shape[0], stream.tell())
