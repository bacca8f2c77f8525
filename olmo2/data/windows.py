"""Cut token files into windows of seq_len tokens, the training sequences of pretraining.

The stream of each file is cut from its start; a tail shorter than a window is dropped and no window spans two files.
With shuffle_together windows that are shuffled as one, a tail shorter than all of them is dropped.
B = windows of a batch, T = seq_len.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache

import numpy as np

from olmo2.base.errors import UsageError
from olmo2.base.remote import in_parallel
from olmo2.data.batch import IGNORED_LABEL, Batch, Sequences, make_batch
from olmo2.data.repetition import is_repetitive
from olmo2.data.token_files import map_tokens
from olmo2.data.token_format import TokenFile

MAX_OPEN_MAPS = 128  # a process may have as few as 256 open files, and a corpus has more than a thousand
FINGERPRINT_SAMPLES = 4  # per file
FINGERPRINT_TOKENS = 1024  # per sample


def count_windows(file: TokenFile, seq_len: int, shuffle_together: int = 1) -> int:
    """Return the number of windows of a file, a multiple of those that are shuffled together."""
    return file.num_tokens // (seq_len * shuffle_together) * shuffle_together


class Windows(Sequences):
    """The windows of a list of token files, numbered in the order of the files."""

    def __init__(
        self,
        files: Sequence[TokenFile],
        *,
        seq_len: int,
        vocab_size: int,
        label_masks: Sequence[TokenFile] = (),
        repetition_filter: bool = True,
        document_mask: bool = False,
        eos_id: int | None = None,
        shuffle_together: int = 1,
    ) -> None:
        """Number the windows; no token is read before the first batch.

        `label_masks` (from open_label_masks) say which tokens are targets; without them all are. With
        `repetition_filter`, a window that repeats itself stays in the batch but has no labels. With `document_mask`,
        tokens attend only within their document, which ends with `eos_id`. Raises UsageError if no file holds a window,
        or with `shuffle_together` so many of them.
        """
        assert not label_masks or len(label_masks) == len(files)
        assert not document_mask or eos_id is not None
        self.seq_len = seq_len
        self.vocab_size = vocab_size
        self.files = list(files)
        self.label_masks = list(label_masks)
        self.repetition_filter = repetition_filter
        self.document_mask = document_mask
        self.eos_id = eos_id
        self.shuffle_together = shuffle_together
        counts = np.array([count_windows(file, seq_len, shuffle_together) for file in files], dtype=np.int64)
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        self._map = lru_cache(MAX_OPEN_MAPS)(map_tokens)
        if not counts.any():
            longest = max((file.num_tokens for file in files), default=0)
            windows = "a window" if shuffle_together == 1 else f"{shuffle_together} windows"
            raise UsageError(
                f"no token file holds {windows} of {seq_len} tokens (there are {len(files)}, the longest has "
                f"{longest:,} tokens); lower data.seq_len or add data"
            )

    def __len__(self) -> int:
        """Return the number of windows."""
        return int(self._ends[-1])

    def batch(self, indices: np.ndarray) -> Batch:
        """Read the windows at `indices`, (B,) integers, as a batch of (B, T).

        The label of a position is the next token of the window; the last position has none. Raises UsageError
        for a token id outside the vocabulary.
        """
        input_ids = self._read(self.files, indices, np.int64)
        self._check_vocabulary(input_ids, indices)
        labels = np.full_like(input_ids, IGNORED_LABEL)
        labels[:, :-1] = input_ids[:, 1:]
        if self.label_masks:
            is_target = self._read(self.label_masks, indices, np.uint8)
            self._check_masks(is_target, indices)
            labels[:, :-1][is_target[:, 1:] == 0] = IGNORED_LABEL
        if self.repetition_filter:
            labels[is_repetitive(input_ids)] = IGNORED_LABEL
        document_ids = None
        if self.document_mask:
            document_ids = np.zeros_like(input_ids, dtype=np.int32)
            np.cumsum(input_ids[:, :-1] == self.eos_id, axis=1, out=document_ids[:, 1:])
        return make_batch(input_ids, labels, document_ids)

    def _check_masks(self, is_target: np.ndarray, indices: np.ndarray) -> None:
        """Raise UsageError for a byte that says neither yes nor no: the sign of a file that is no label mask."""
        wrong = (is_target > 1).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            file = self.label_masks[int(self.locate(indices)[0][row])]
            raise UsageError(
                f"{file.path} holds the byte {is_target[row].max()}, but a label mask is 1 where a token is a target "
                "and 0 elsewhere; give the mask of these tokens"
            )

    def fingerprint(self) -> str:
        """Return hexadecimal text that changes when the windows or their labels would.

        Of the files it covers length, type and samples from start to end, but not the names: data may move.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        eos_id = self.eos_id if self.document_mask else None
        settings = ("windows", self.seq_len, self.repetition_filter, eos_id, bool(self.label_masks))
        together = (self.shuffle_together,) if self.shuffle_together > 1 else ()
        digest = hashlib.sha256(repr(settings + together).encode())
        files = (*self.files, *self.label_masks)
        starts = np.linspace(
            0, [max(file.num_tokens - FINGERPRINT_TOKENS, 0) for file in files], FINGERPRINT_SAMPLES, dtype=np.int64
        ).T  # (number of files, samples)
        repeated = [file for file in files for _ in range(FINGERPRINT_SAMPLES)]
        samples = iter(self._cut(repeated, starts.ravel().tolist(), FINGERPRINT_TOKENS))
        for file in files:
            digest.update(f"{file.num_tokens} {file.dtype}".encode())
            for _ in range(FINGERPRINT_SAMPLES):
                digest.update(next(samples).tobytes())
        return digest.hexdigest()

    def _read(self, files: list[TokenFile], indices: np.ndarray, dtype: type[np.integer]) -> np.ndarray:
        """Read the windows at `indices` of `files`: (B, T) of `dtype`."""
        rows = np.empty((len(indices), self.seq_len), dtype=dtype)
        numbers, starts = self.locate(indices)
        tokens = self._cut([files[number] for number in numbers.tolist()], starts.tolist(), self.seq_len)
        for row, piece in zip(rows, tokens, strict=True):
            row[:] = piece
        return rows

    def _cut(self, files: list[TokenFile], starts: list[int], num_tokens: int) -> Iterable[np.ndarray]:
        """Read up to `num_tokens` tokens of each of `files` from its start on; remote ones several at a time."""

        def piece(file: TokenFile, start: int) -> np.ndarray:
            return self._map(file)[start : start + num_tokens]

        if any(isinstance(file.path, str) for file in files):
            return in_parallel(lambda wanted: piece(*wanted), zip(files, starts, strict=True))
        return map(piece, files, starts)

    def locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the file number and the first token in that file of each window, both (B,) int64."""
        indices = np.asarray(indices, dtype=np.int64)
        assert ((indices >= 0) & (indices < len(self))).all()
        numbers = np.searchsorted(self._ends, indices, side="right")
        return numbers, (indices - self._starts[numbers]) * self.seq_len

    def _check_vocabulary(self, input_ids: np.ndarray, indices: np.ndarray) -> None:
        """Raise UsageError, naming the file, if an id of the batch is not in the vocabulary."""
        if input_ids.view(np.uint64).max(initial=0) < self.vocab_size:  # as unsigned, a negative id is a large one
            return
        row, position = np.argwhere(input_ids.view(np.uint64) >= self.vocab_size)[0]
        numbers, starts = self.locate(indices[row : row + 1])
        raise UsageError(
            f"{self.files[numbers[0]].path}: token {starts[0] + position:,} has the id {input_ids[row, position]}, "
            f"which is outside the vocabulary of {self.vocab_size:,} ids; use the tokenizer the file was made with, "
            "or set data.dtype to the type it was written in"
        )
