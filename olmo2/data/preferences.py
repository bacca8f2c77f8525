"""Preferences as training sequences: a chosen and a rejected conversation of each pair, side by side in one row.

Input: JSON lines or Parquet. A row holds "chosen" and "rejected": whole conversations, lists of messages; or what
follows "prompt", a list of messages as well; or two texts that answer the text "prompt".
P = pairs, B = rows of a batch, D = documents of the fullest row: 2k is chosen, 2k + 1 rejected of its pair k.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field

from olmo2.base.config import Settings
from olmo2.base.errors import UsageError
from olmo2.data.batch import Batch
from olmo2.data.conversations import read_rows
from olmo2.data.document_rows import DocumentRows, Documents
from olmo2.tokenizer.chat_template import Message, encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

SIDES = ("chosen", "rejected")
Encoded = tuple[list[int], list[bool]]
"""ids of a conversation, and whether each is a target"""


@dataclass
class PairCounts:
    """What became of the rows that were read."""

    truncated: int = 0
    """pairs of which a conversation was cut on the right"""
    without_target: int = 0
    """left out: no assistant's word of a conversation is within its length"""
    alike: int = 0
    """left out: within their length the conversations do not differ"""


class Preferences(DocumentRows):
    """Rows that hold one or several pairs."""

    reference_logprobs: np.ndarray | None = None
    """(2 P,): log-probability of the targets of every document under the reference model, once it is known"""

    def __init__(
        self, documents: Documents, *, seq_len: int, pad_id: int, pack: bool, counts: PairCounts | None = None
    ) -> None:
        """Arrange pairs in rows: as many as fit best (`pack`), or one in each."""
        super().__init__(documents, seq_len=seq_len, pad_id=pad_id, pack=pack, group=len(SIDES))
        self.counts = counts or PairCounts()
        self._most_documents = max(len(self.documents_of(row)) for row in range(len(self)))

    @property
    def num_pairs(self) -> int:
        """Return the number of pairs in the rows."""
        return self.num_documents // len(SIDES)

    def batch(self, indices: np.ndarray) -> Batch:
        """Read the rows at `indices`, (B,) integers, with the reference's log-probabilities, 0 where not known."""
        logprobs = np.zeros((len(indices), self._most_documents), np.float32)
        if self.reference_logprobs is not None:
            for row, index in enumerate(indices.tolist()):
                documents = self.documents_of(index)
                logprobs[row, : len(documents)] = self.reference_logprobs[documents]
        import torch

        return replace(super().batch(indices), reference_logprobs=torch.from_numpy(logprobs))

    def summary(self) -> str:
        """Describe the rows, and what was cut short or left out, in one line."""
        counts = self.counts
        return (
            f"{self.num_pairs:,} pairs in {len(self):,} rows of {self.seq_len:,} tokens ({self.filled_ratio:.1%} "
            f"filled, {self.num_targets:,} targets); {counts.truncated:,} were truncated, {counts.without_target:,} "
            f"dropped because no target was left, and {counts.alike:,} because chosen and rejected did not "
            "differ as far as they are read"
        )


def encode_pair(tokenizer: Tokenizer, row: Mapping[str, Any], *, last_turn_only: bool = False) -> list[Encoded]:
    """Return the ids and targets of a row's two conversations. Raises UsageError for a row that is no pair."""
    chosen, rejected = (conversation_of(row, side) for side in SIDES)
    if chosen == rejected:
        raise UsageError("chosen and rejected are equal, so there is nothing to prefer")
    encoded = []
    for side, messages in zip(SIDES, (chosen, rejected), strict=True):
        try:
            ids, is_target = encode_chat(tokenizer, messages)
        except UsageError as error:
            raise UsageError(f"{side}: {error}") from None
        if not any(is_target):
            raise UsageError(f"{side} has no assistant's message")
        encoded.append((ids, only_last_turn(is_target) if last_turn_only else is_target))
    return encoded


def conversation_of(row: Mapping[str, Any], side: str) -> list[Message]:
    """Return one of a row's two conversations in whole."""
    answer, prompt = row.get(side), row.get("prompt")
    if isinstance(answer, str) and isinstance(prompt, str):
        return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    if not isinstance(answer, list):
        raise UsageError(f'the row must have a list of messages under "{side}", or texts under it and "prompt"')
    return [*prompt, *answer] if isinstance(prompt, list) else answer


def only_last_turn(is_target: list[bool]) -> list[bool]:
    """Return the targets of the last turn alone: the last ones that follow each other."""
    last = len(is_target) - is_target[::-1].index(True)
    first = last - 1
    while first and is_target[first - 1]:
        first -= 1
    return [first <= place < last for place in range(len(is_target))]


class PreferenceDataSettings(Settings):
    """Pairs of conversations."""

    paths: list[str] = Field(min_length=1)
    """JSON-lines or Parquet files of {"chosen": [messages], "rejected": [messages]}, or folders of them"""
    seq_len: int = Field(ge=4)
    """tokens of one training row, of one pair or several: each conversation is cut on the right to half of it"""
    pack: bool = True
    """put several pairs into one row, each conversation seeing only itself"""
    last_turn_only: bool = False
    """learn from the last assistant's turn alone; false = from all of them, as the published models ran"""
    heldout_paths: list[str] = []
    """pairs that are not trained on: run.evaluate_every_steps says how often they are told apart"""

    def pairs(self, tokenizer: Tokenizer) -> Preferences:
        """Read and tokenize the pairs to train on, and say what was cut or left out."""
        return self._read(self.paths, "data.paths", tokenizer)

    def heldout_pairs(self, tokenizer: Tokenizer) -> Preferences:
        """Read and tokenize the others."""
        return self._read(self.heldout_paths, "data.heldout_paths", tokenizer)

    def _read(self, paths: list[str], setting: str, tokenizer: Tokenizer) -> Preferences:
        pairs = read_preferences(self, paths, setting, tokenizer)
        print(f"{setting}: {pairs.summary()}")
        return pairs


def read_preferences(
    settings: PreferenceDataSettings, paths: list[str], setting: str, tokenizer: Tokenizer
) -> Preferences:
    """Read and tokenize every pair of `paths`, which `setting` names in errors.

    Raises UsageError, naming file and line, for a row that is no pair, and if no pair is left at all.
    """
    longest = settings.seq_len // 2
    collected = PairCollector(longest)
    for place, row in read_rows(paths, setting):
        try:
            collected.add(encode_pair(tokenizer, row, last_turn_only=settings.last_turn_only))
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None
    if not collected.ends:
        raise UsageError(
            f"{setting}: no pair of {', '.join(paths)} has assistants' messages that differ within {longest} tokens; "
            "raise data.seq_len, of which each conversation has half, or give other pairs"
        )
    return Preferences(
        collected.documents(),
        seq_len=settings.seq_len,
        pad_id=tokenizer.pad_id,
        pack=settings.pack,
        counts=collected.counts,
    )


class PairCollector:
    """Gathers encoded pairs, each conversation cut on the right to `longest` tokens."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.counts = PairCounts()
        self.input_ids, self.is_target, self.ends = array("i"), bytearray(), array("q")

    def add(self, pair: Sequence[Encoded]) -> None:
        """Take a pair unless nothing can be learned of it."""
        cut = [(ids[: self.longest], targets[: self.longest]) for ids, targets in pair]
        if not all(any(targets[1:]) for _, targets in cut):  # nothing predicts the first token
            self.counts.without_target += 1
        elif cut[0][0] == cut[1][0]:
            self.counts.alike += 1
        else:
            self.counts.truncated += any(len(ids) > self.longest for ids, _ in pair)
            for ids, targets in cut:
                self.input_ids.extend(ids)
                self.is_target.extend(targets)
                self.ends.append(len(self.input_ids))

    def documents(self) -> Documents:
        """Return all of them."""
        return Documents(
            np.frombuffer(self.input_ids, np.int32),
            np.frombuffer(self.is_target, np.bool_),
            np.frombuffer(self.ends, np.int64),
        )
