"""Conversations as training sequences: the assistant's words are targets, short conversations share a row.

Input: JSON lines or Parquet, a row {"messages": [{"role": ..., "content": ...}, ...]} for each conversation.
N = tokens of all conversations, C = conversations, B = rows of a batch, T = seq_len.
"""

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from olmo2.base.errors import UsageError
from olmo2.corpus.document import ROW_SUFFIXES, find_files, read_json_lines, read_parquet, split_name
from olmo2.data.batch import IGNORED_LABEL, PADDING_DOCUMENT, Batch, Sequences, make_batch
from olmo2.data.packing import pack_best_fit
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer


class Conversations(Sequences):
    """Rows of seq_len tokens, each of one or several whole conversations and padding; all in memory."""

    def __init__(
        self,
        input_ids: np.ndarray,
        is_target: np.ndarray,
        ends: np.ndarray,
        *,
        seq_len: int,
        pad_id: int,
        pack: bool,
        num_truncated: int = 0,
        num_dropped: int = 0,
    ) -> None:
        """Arrange conversations in rows: as many as fit best (`pack`), or one in each.

        `input_ids` (N,) and `is_target` (N,) hold the conversations one after the other, `ends` (C,) where each ends;
        none is longer than `seq_len`. The counts are those of the conversations that were cut short and left out.
        """
        self.seq_len = seq_len
        self.pad_id = pad_id
        self.pack = pack
        self.num_truncated = num_truncated
        self.num_dropped = num_dropped
        self._offsets = np.concatenate(([0], ends)).astype(np.int64)
        self._input_ids = input_ids.astype(np.int32, copy=False)
        self._labels = np.full_like(self._input_ids, IGNORED_LABEL)
        self._labels[:-1][is_target[1:]] = self._input_ids[1:][is_target[1:]]
        self._labels[self._offsets[1:] - 1] = IGNORED_LABEL  # the next token is another conversation's
        lengths: list[int] = np.diff(self._offsets).tolist()
        self._rows = pack_best_fit(lengths, seq_len) if pack else [[number] for number in range(len(lengths))]

    @property
    def num_conversations(self) -> int:
        """Return the number of conversations in the rows."""
        return len(self._offsets) - 1

    @property
    def num_tokens(self) -> int:
        """Return the number of tokens without padding."""
        return len(self._input_ids)

    @property
    def num_targets(self) -> int:
        """Return the number of labels."""
        return int((self._labels != IGNORED_LABEL).sum())

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def batch(self, indices: np.ndarray) -> Batch:
        """Read the rows at `indices`, (B,) integers, as a batch of (B, T) with a document id per conversation."""
        shape = (len(indices), self.seq_len)
        input_ids = np.full(shape, self.pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORED_LABEL, dtype=np.int64)
        document_ids = np.full(shape, PADDING_DOCUMENT, dtype=np.int32)
        for row, index in enumerate(indices.tolist()):
            end = 0
            for number, conversation in enumerate(self._rows[index]):
                source = slice(*self._offsets[conversation : conversation + 2])
                start, end = end, end + source.stop - source.start
                input_ids[row, start:end] = self._input_ids[source]
                labels[row, start:end] = self._labels[source]
                document_ids[row, start:end] = number
        return make_batch(input_ids, labels, document_ids)

    def fingerprint(self) -> str:
        """Return hexadecimal text that changes when a token, a label or the arrangement would."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr(("conversations", self.seq_len, self.pad_id, self.pack)).encode())
        for values in (self._input_ids, self._labels, self._offsets):
            digest.update(values.data)
        return digest.hexdigest()

    def summary(self) -> str:
        """Describe the rows, and what was cut short or left out, in one line."""
        filled = self.num_tokens / (len(self) * self.seq_len)
        return (
            f"{self.num_conversations:,} conversations in {len(self):,} rows of {self.seq_len:,} tokens "
            f"({filled:.1%} filled, {self.num_targets:,} targets); {self.num_truncated:,} were truncated and "
            f"{self.num_dropped:,} dropped because no target was left"
        )


def read_conversations(paths: Sequence[str], tokenizer: Tokenizer, *, seq_len: int, pack: bool = True) -> Conversations:
    """Read and tokenize every conversation of `paths` (files, folders, globs), truncated on the right to `seq_len`.

    Raises UsageError, naming file and line, for what is not a conversation, and if no target is left at all.
    """
    input_ids = array("i")
    is_target = bytearray()
    ends = array("q")
    num_truncated = num_dropped = 0
    for place, messages in read_messages(paths):
        try:
            ids, targets = encode_chat(tokenizer, messages)
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None
        if not any(targets[1:seq_len]):  # nothing predicts the first token
            num_dropped += 1
            continue
        num_truncated += len(ids) > seq_len
        input_ids.extend(ids[:seq_len])
        is_target.extend(targets[:seq_len])
        ends.append(len(input_ids))
    if not ends:
        raise UsageError(
            f"no conversation of {', '.join(paths)} has an assistant's message within {seq_len} tokens; "
            "raise data.seq_len or give other conversations"
        )
    return Conversations(
        np.frombuffer(input_ids, np.int32),
        np.frombuffer(is_target, np.bool_),
        np.frombuffer(ends, np.int64),
        seq_len=seq_len,
        pad_id=tokenizer.pad_id,
        pack=pack,
        num_truncated=num_truncated,
        num_dropped=num_dropped,
    )


def read_messages(paths: Sequence[str], setting: str = "data.paths") -> Iterator[tuple[str, list[Mapping[str, str]]]]:
    """Yield (file:line, messages) for every row of `paths`, in that order; `setting` is named in errors."""
    for place, row in read_rows(paths, setting):
        if not isinstance(row.get("messages"), list):
            raise UsageError(f'{place}: the row must be an object with a list "messages"')
        yield place, row["messages"]


def read_rows(paths: Sequence[str], setting: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (file:line, row) for every row of `paths`, in that order; `setting` is named in errors."""
    for path in paths:
        found = find_files(path, setting=setting)
        if Path(path).expanduser().is_dir():
            found = [(file, source) for file, source in found if split_name(file)[1] in (*ROW_SUFFIXES, ".parquet")]
            if not found:
                raise UsageError(f"{setting}: the folder {path} holds no JSON lines and no Parquet file")
        for file, _ in found:
            _, suffix, compression = split_name(file)
            number = 0
            for number, row in read_parquet(file, None) if suffix == ".parquet" else read_json_lines(file, compression):
                if not isinstance(row, Mapping):
                    raise UsageError(f"{file}:{number}: the row must be an object")
                yield f"{file}:{number}", row
            if number == 0:
                raise UsageError(f"{file} is empty; it must hold conversations, one JSON object a line")
