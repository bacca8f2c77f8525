"""Token files: raw arrays of token ids on disk, written one document after the other and memory-mapped to be read.

A token folder holds `part-00000.npy`, ...: little-endian ids without a NumPy header, every document followed by one
EOS; `part-00000.csv.gz`, ...: where each document begins and comes from (olmo2/data/provenance.py); and `tokens.json`,
which describes them. A document lies within one part.
"""

import glob
import mmap
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from olmo2.base.errors import RunError, UsageError
from olmo2.base.files import atomic_folder, read_json, write_json
from olmo2.data.mixes import expand_mixes
from olmo2.data.provenance import INDEX_SUFFIX, DocumentSpan, ProvenanceWriter

TOKENS_JSON = "tokens.json"
TOKENS_PER_PART = 2**29
RAW_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int32", "int64")
NUMPY_MAGIC = b"\x93NUMPY"
NOT_TOKENS = (".json", ".jsonl", ".gz", ".zst", ".parquet", ".csv", ".txt", ".md", ".yaml", INDEX_SUFFIX)


class TokenPart(BaseModel):
    """One file of a token folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    num_tokens: int
    num_documents: int
    num_bytes: int


class TokenFolder(BaseModel):
    """The content of tokens.json. Tokens count the EOS of each document, bytes are those of the text as UTF-8."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["uint16", "uint32"]
    vocab_size: int
    eos_id: int
    tokenizer: str
    """Fingerprint of the tokenizer."""
    num_tokens: int
    num_documents: int
    num_bytes: int
    parts: tuple[TokenPart, ...]


@dataclass(frozen=True)
class TokenFile:
    """A file of token ids that has been looked at but not read."""

    path: Path
    dtype: str
    """As NumPy writes it, with the byte order: "<u4"."""
    num_tokens: int
    header_bytes: int = 0
    tokenizer: str | None = None
    """Fingerprint of the tokenizer it was made with, if its folder says so."""


def map_tokens(file: TokenFile) -> np.ndarray:
    """Memory-map a token file: (num_tokens,) integers. The map keeps a file descriptor open while it lives.

    Raises RunError if the file is gone or shorter than when it was opened.
    """
    try:
        with open(file.path, "rb") as opened:
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):  # windows are read in random order: reading ahead can cost 50 times as much
            mapped.madvise(mmap.MADV_RANDOM)
        return np.frombuffer(mapped, file.dtype, file.num_tokens, file.header_bytes)
    except (OSError, ValueError) as error:
        raise RunError(f"{file.path} is no longer the file that was opened ({error}); restore it and resume") from None


def open_tokens(paths: Sequence[str], dtype: str | None) -> list[TokenFile]:
    """Open token folders, raw token files, globs and mixes of them, files with a NumPy header, in the order given.

    `dtype` is the type of the raw files; folders and NumPy headers say it themselves. A glob's files are sorted by
    name. Naming a file twice repeats its data. Raises UsageError for what is missing, empty or damaged.
    """
    if dtype is not None and dtype not in RAW_DTYPES:
        raise UsageError(f"data.dtype: {dtype!r} is not a type of token ids; choose one of {', '.join(RAW_DTYPES)}")
    files: list[TokenFile] = []
    for pattern in expand_mixes(paths):
        is_glob = glob.has_magic(pattern) and not os.path.exists(pattern)
        found = sorted(glob.glob(pattern, recursive=True)) if is_glob else [pattern]
        if not found:
            raise UsageError(f"no file matches {pattern}")
        for path in map(Path, found):
            files += open_folder(path) if path.is_dir() else [open_file(path, dtype)]
    return files


def open_label_masks(paths: Sequence[str], files: Sequence[TokenFile]) -> list[TokenFile]:
    """Open the label masks of token `files`: one byte per token, not 0 where the token is a target.

    Raises UsageError, naming the two files, where a mask is not as long as its token file.
    """
    masks = open_tokens(paths, "uint8")
    for file, mask in zip(files, masks, strict=False):
        if np.dtype(mask.dtype).itemsize != 1:
            raise UsageError(f"{mask.path} holds {mask.dtype} numbers, but a label mask is one byte per token")
        if mask.num_tokens != file.num_tokens:
            raise UsageError(
                f"the label mask {mask.path} is for {mask.num_tokens:,} tokens, but {file.path} holds "
                f"{file.num_tokens:,}; list the masks in the order of the token files"
            )
    if len(masks) != len(files):
        rest = (files if len(files) > len(masks) else masks)[min(len(files), len(masks))]
        raise UsageError(
            f"there are {len(files)} token files and {len(masks)} label masks; {rest.path} has no counterpart"
        )
    return masks


def read_token_folder(folder: Path) -> TokenFolder:
    """Read a token folder's description. Raises UsageError naming its tokens.json if it is missing or damaged."""
    path = folder / TOKENS_JSON
    if not path.is_file():
        raise UsageError(f"{folder} is not a token folder (no {TOKENS_JSON}); name raw token files as {folder}/*.npy")
    try:
        description = TokenFolder.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path} is damaged ({place}: {first['msg']}); tokenize again") from None
    for name in ("num_tokens", "num_documents", "num_bytes"):
        if getattr(description, name) != sum(getattr(part, name) for part in description.parts):
            raise UsageError(f"{path} is damaged ({name} is not the sum over its parts); tokenize again")
    return description


def open_folder(folder: Path) -> list[TokenFile]:
    """Open the parts of a token folder and compare their sizes with its description."""
    description = read_token_folder(folder)
    files = [open_file(folder / part.file, description.dtype) for part in description.parts]
    for file, part in zip(files, description.parts, strict=True):
        if file.num_tokens != part.num_tokens:
            raise UsageError(
                f"{file.path} holds {file.num_tokens:,} tokens, but {folder / TOKENS_JSON} says {part.num_tokens:,}; "
                "copy the folder or tokenize again"
            )
    return [replace(file, tokenizer=description.tokenizer) for file in files]


def require_tokenizer(files: Sequence[TokenFile], fingerprint: str) -> None:
    """Raise UsageError naming the first file that says it was made with a tokenizer of another fingerprint."""
    for file in files:
        if file.tokenizer not in (None, fingerprint):
            raise UsageError(
                f"{file.path.parent} was tokenized with another tokenizer than the model's; tokenize its documents "
                "again with the model's own"
            )


def open_file(path: Path, dtype: str | None) -> TokenFile:
    """Open one file of raw ids of type `dtype`, or one with a NumPy header; only its size and start are read."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            has_header = file.read(len(NUMPY_MAGIC)) == NUMPY_MAGIC
    except OSError as error:
        raise UsageError(f"cannot read the token file {path}: {(error.strerror or str(error)).lower()}") from None
    if size == 0:
        raise UsageError(f"the token file {path} is empty; write it again or leave it out")
    if has_header:
        return open_numpy_file(path, size)
    if path.suffix in NOT_TOKENS:
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


def open_numpy_file(path: Path, size: int) -> TokenFile:
    """Open a file written by numpy.save: a vector of integers or booleans that fills its `size` bytes."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise UsageError(f"{path} is a damaged NumPy file ({str(error).rstrip('.')}); write it again") from None
    if array.ndim != 1 or array.dtype.kind not in "uib" or array.size == 0:
        raise UsageError(f"{path} holds a {array.dtype} array of shape {array.shape}, not a vector of token ids")
    if array.offset + array.nbytes != size:
        raise UsageError(f"{path} is longer than its NumPy header says; write it again")
    return TokenFile(path, array.dtype.str, array.size, array.offset)


class TokenFolderWriter:
    """Write documents to a token folder that appears only when the `with` block ends without an error."""

    def __init__(
        self,
        folder: Path,
        *,
        vocab_size: int,
        eos_id: int,
        tokenizer_fingerprint: str,
        tokens_per_part: int = TOKENS_PER_PART,
    ) -> None:
        """Prepare the writer; a part is closed before it would exceed `tokens_per_part` tokens.

        A document longer than a part gets a longer part of its own.
        """
        self.folder = folder
        self.vocab_size = vocab_size
        self.eos_id = eos_id
        self.tokenizer_fingerprint = tokenizer_fingerprint
        self.tokens_per_part = tokens_per_part
        self.dtype: Literal["uint16", "uint32"] = "uint16" if vocab_size <= 2**16 else "uint32"
        self.parts: list[TokenPart] = []
        self._writing: ExitStack[bool | None] = ExitStack()
        self._part: PartWriter | None = None

    def __enter__(self) -> Self:
        """Begin a folder. Raises UsageError if it already holds something."""
        self._partial = self._writing.enter_context(atomic_folder(self.folder))
        return self

    def add(self, ids: np.ndarray, num_bytes: int, id: str, source: str, location: str) -> None:
        """Append one document, (n,) token ids without EOS, whose text has `num_bytes` bytes as UTF-8.

        Raises UsageError for an id outside the vocabulary.
        """
        outside = ids[(ids < 0) | (ids >= self.vocab_size)]
        if len(outside):
            raise UsageError(
                f"document {id} of {location}: token id {outside[0]} is outside the vocabulary of "
                f"{self.vocab_size:,} ids; the tokenizer and vocab_size do not belong together"
            )
        if self._part is not None and self._part.num_tokens + len(ids) + 1 > self.tokens_per_part:
            self._close_part()
        if self._part is None:
            self._part = PartWriter(self._partial, len(self.parts), self.dtype)
            self._writing.callback(self._part.close)
        self._part.add(np.append(ids, self.eos_id), num_bytes, (id, source, location))

    def _close_part(self) -> None:
        """Finish the part being written, if there is one."""
        if self._part is not None:
            self._part.close()
            self.parts.append(self._part.summary())
            self._part = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Put the folder in its place; after an error, leave nothing behind."""
        if error is not None:
            return self._writing.__exit__(kind, error, trace)
        with self._writing:
            self._finish()
        return None

    def _finish(self) -> None:
        """Close the last part and describe them all. Raises UsageError if no document was added."""
        self._close_part()
        if not self.parts:
            raise UsageError(f"there is no document to write to {self.folder}: the input is empty")
        description = TokenFolder(
            dtype=self.dtype,
            vocab_size=self.vocab_size,
            eos_id=self.eos_id,
            tokenizer=self.tokenizer_fingerprint,
            num_tokens=sum(part.num_tokens for part in self.parts),
            num_documents=sum(part.num_documents for part in self.parts),
            num_bytes=sum(part.num_bytes for part in self.parts),
            parts=tuple(self.parts),
        )
        write_json(self._partial / TOKENS_JSON, description.model_dump(mode="json"))


class PartWriter:
    """Write one part of a token folder: the ids and the boundaries of its documents."""

    def __init__(self, folder: Path, number: int, dtype: str) -> None:
        """Open part `number` of `folder` for writing."""
        self.file = f"part-{number:05d}.npy"
        self.num_tokens = 0
        self.num_documents = 0
        self.num_bytes = 0
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._tokens = open(folder / self.file, "wb")  # noqa: SIM115 (closed by close)
        self._documents = ProvenanceWriter(folder / self.file)

    def add(self, ids: np.ndarray, num_bytes: int, provenance: tuple[str, str, str]) -> None:
        """Append the ids of one document, its EOS included, and its boundaries."""
        start = self.num_tokens
        self.num_tokens += len(ids)
        self.num_documents += 1
        self.num_bytes += num_bytes
        self._tokens.write(ids.astype(self._dtype).tobytes())
        self._documents.add(DocumentSpan(start, self.num_tokens, *provenance))

    def summary(self) -> TokenPart:
        """Return what tokens.json says of the part."""
        return TokenPart(
            file=self.file, num_tokens=self.num_tokens, num_documents=self.num_documents, num_bytes=self.num_bytes
        )

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        try:
            self._documents.close()
        finally:
            self._tokens.close()
