"""Conversations as training sequences: the assistant's words are targets, short conversations share a row.

Input: a row {"messages": [{"role": ..., "content": ...}, ...]} for each conversation.
N = tokens of all conversations, C = conversations, B = rows of a batch, T = seq_len.
"""

import hashlib
import time
from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice

import numpy as np
from rich.console import Console

from olmo2.base.errors import UsageError
from olmo2.corpus.rows import BadRows, open_source, read_rows
from olmo2.data.batch import IGNORED_LABEL, PADDING_DOCUMENT, Batch, Sequences, make_batch
from olmo2.data.mixed_rows import MixedRows, RowDataSettings
from olmo2.data.packing import pack_best_fit
from olmo2.data.token_cache import cache_key, cached_arrays
from olmo2.tokenizer.chat_batch import ChatEncoder, EncodedChat
from olmo2.tokenizer.chat_template import BadConversation, Message
from olmo2.tokenizer.tokenizer import Tokenizer

LAYOUT_VERSION = 1  # to be raised when the same rows would give other tokens or targets
ROWS_AT_ONCE = 500
TOKENS_AT_ONCE = 1 << 20


class Conversations(Sequences):
    """Rows of seq_len tokens, each of one or several whole conversations and padding."""

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
        bad_rows: BadRows | None = None,
    ) -> None:
        """Arrange conversations in rows: as many as fit best (`pack`), or one in each.

        `input_ids` (N,) and `is_target` (N,) hold the conversations one after the other, `ends` (C,) where each ends;
        none is longer than `seq_len`. The arrays are not copied: they may be files. The counts and `bad_rows` are
        those of the conversations that were cut short and left out.
        """
        self.seq_len = seq_len
        self.pad_id = pad_id
        self.pack = pack
        self.num_truncated = num_truncated
        self.num_dropped = num_dropped
        self.bad_rows = bad_rows or BadRows()
        self._offsets = np.concatenate(([0], ends)).astype(np.int64)
        self._input_ids = input_ids.astype(np.int32, copy=False)
        self._is_target = is_target
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
        return int(self._is_target.sum() - self._is_target[self._offsets[:-1]].sum())  # nothing predicts the first

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
                labels[row, start:end] = self._labels(source.start, source.stop)
                document_ids[row, start:end] = number
        return make_batch(input_ids, labels, document_ids)

    def _labels(self, start: int, stop: int) -> np.ndarray:
        """Return the labels at the tokens from `start` to `stop`, (stop - start,) int32."""
        labels = np.full(stop - start, IGNORED_LABEL, np.int32)
        following = slice(start + 1, min(stop + 1, self.num_tokens))
        found = np.flatnonzero(self._is_target[following])
        labels[found] = self._input_ids[following][found]
        ends = self._offsets[slice(*np.searchsorted(self._offsets, (start + 1, stop + 1)))]
        labels[ends - 1 - start] = IGNORED_LABEL  # the next token is another conversation's
        return labels

    def fingerprint(self) -> str:
        """Return hexadecimal text that changes when a token, a label or the arrangement would."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr(("conversations", self.seq_len, self.pad_id, self.pack)).encode())
        digest.update(self._input_ids.data)
        for start in range(0, self.num_tokens, TOKENS_AT_ONCE):
            digest.update(self._labels(start, min(start + TOKENS_AT_ONCE, self.num_tokens)).data)
        digest.update(self._offsets.data)
        return digest.hexdigest()

    def summary(self) -> str:
        """Describe the rows, and what was cut short or left out."""
        filled = self.num_tokens / (len(self) * self.seq_len)
        line = (
            f"{self.num_conversations:,} conversations in {len(self):,} rows of {self.seq_len:,} tokens "
            f"({filled:.1%} filled, {self.num_targets:,} targets); {self.num_truncated:,} were truncated and "
            f"{self.num_dropped:,} dropped because no target was left"
        )
        return f"{line}\n{self.bad_rows.summary()}".rstrip()


def read_conversations(
    data: RowDataSettings, tokenizer: Tokenizer, *, seq_len: int, pack: bool = True
) -> Conversations:
    """Read and tokenize the conversations of `data`, truncated on the right to `seq_len`, or find them in its cache.

    Raises UsageError for a row that is not a conversation with an assistant's turn, naming file and line, unless such
    rows are to be skipped; and if no target is left at all.
    """
    rows = MixedRows(data)
    key = cache_key(
        what=("conversations", LAYOUT_VERSION),
        seq_len=seq_len,
        tokenizer=tokenizer.fingerprint,
        special_tokens=tokenizer.special_tokens,
        chat_template=tokenizer.chat_template,
        **rows.decisive(),
    )
    arrays = cached_arrays(data.token_folder(), key, lambda: tokenize_rows(rows, tokenizer, seq_len))
    return Conversations(
        arrays["input_ids"],
        arrays["is_target"],
        arrays["ends"],
        seq_len=seq_len,
        pad_id=tokenizer.pad_id,
        pack=pack,
        num_truncated=int(arrays["num_truncated"]),
        num_dropped=int(arrays["num_dropped"]),
        bad_rows=BadRows.from_json(arrays["bad_rows"].tobytes().decode()),
    )


def tokenize_rows(rows: MixedRows, tokenizer: Tokenizer, seq_len: int) -> dict[str, np.ndarray]:
    """Return the conversations one after the other, and what there is to say of those that are not among them."""
    input_ids, is_target, ends = array("i"), bytearray(), array("q")
    num_truncated = num_dropped = 0
    for place, messages, chat in encoded(rows, tokenizer):
        if isinstance(chat, BadConversation):
            rows.bad_rows.add(chat.kind, f"{place}: {chat}")
        elif not any(message["role"] == "assistant" for message in messages):
            rows.bad_rows.add("without an assistant's turn", f"{place}: no turn is the assistant's: nothing to learn")
        elif not chat.is_target[1:seq_len].any():  # nothing predicts the first token
            num_dropped += 1
        else:
            num_truncated += len(chat.input_ids) > seq_len
            input_ids.frombytes(chat.input_ids[:seq_len].tobytes())
            is_target += chat.is_target[:seq_len].tobytes()
            ends.append(len(input_ids))
    if not ends:
        raise UsageError(
            f"no conversation of {', '.join(rows.settings.paths)} has an assistant's message within {seq_len} tokens; "
            f"raise data.seq_len or give other conversations\n{rows.bad_rows.summary()}".rstrip()
        )
    return {
        "input_ids": np.frombuffer(input_ids, np.int32),
        "is_target": np.frombuffer(is_target, np.bool_),
        "ends": np.frombuffer(ends, np.int64),
        "num_truncated": np.array(num_truncated),
        "num_dropped": np.array(num_dropped),
        "bad_rows": np.frombuffer(rows.bad_rows.to_json().encode(), np.uint8),
    }


def encoded(
    rows: MixedRows, tokenizer: Tokenizer
) -> Iterator[tuple[str, list[Message], EncodedChat | BadConversation]]:
    """Yield every row's place and messages with its tokens, or with what is wrong with it; show how fast it goes."""
    encoder = ChatEncoder(tokenizer)
    remaining = ((place, row["messages"]) for place, row in rows.read(("messages",)))
    num_done, started = 0, time.perf_counter()
    with Console().status("reading conversations") as status:
        while batch := list(islice(remaining, ROWS_AT_ONCE)):
            chats = encoder.encode([messages for _, messages in batch])
            for (place, messages), chat in zip(batch, chats, strict=True):
                yield place, messages, chat
            num_done += len(batch)
            status.update(f"{num_done:,} conversations, {num_done / (time.perf_counter() - started):,.0f} a second")


def read_messages(paths: Sequence[str], setting: str) -> Iterator[tuple[str, list[Message]]]:
    """Yield (file:line, messages) for every row of `paths`, in that order; `setting` is named in errors."""
    sources = [open_source(path, setting) for path in paths]
    for source in sources:
        for place, row in read_rows(source, ("messages",), BadRows()):
            yield place, row["messages"]
