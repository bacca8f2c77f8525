"""A file of conversations, or of pairs of them, and the rows with their rewards.

Input: JSON lines or Parquet. A row holds "messages"; or "chosen" and "rejected", whole conversations or what follows
"prompt", a list of messages as well; or two texts that answer the text "prompt". Its "id" is kept.
"""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from olmo2.base.errors import UsageError
from olmo2.corpus.rows import BadRows, open_source, read_rows
from olmo2.data.preferences import SIDES, conversation_of
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

CONVERSATION = ("messages",)
Rewards = list[float | None]


@dataclass(frozen=True)
class ConversationFile:
    """What was read: the conversations of every row, one after the other."""

    sides: tuple[str, ...]
    """keys of a row's conversations"""
    ids: list[Any]
    """of the rows: their "id", else their number, from 1"""
    conversations: list[Sequence[int]]
    """token ids"""

    @property
    def is_pairs(self) -> bool:
        """Whether each row has a chosen and a rejected conversation."""
        return self.sides == SIDES

    def rows(self, rewards: Rewards) -> list[dict[str, Any]]:
        """Return what to write of every row, given the reward of every conversation."""
        names = [f"{side}_reward" for side in self.sides] if self.is_pairs else ["reward"]
        width = len(self.sides)
        return [
            {"id": each, **dict(zip(names, rewards[width * number : width * (number + 1)], strict=True))}
            for number, each in enumerate(self.ids)
        ]


def read_conversation_file(path: str, tokenizer: Tokenizer) -> ConversationFile:
    """Read and tokenize every row of a file. Raises UsageError naming the line that is wrong."""
    sides: tuple[str, ...] | None = None
    ids: list[Any] = []
    conversations: list[Sequence[int]] = []
    for number, (place, row) in enumerate(read_rows(open_source(path, "file"), (), BadRows()), 1):
        try:
            own_sides = sides_of(row)
            sides = sides or own_sides
            if own_sides != sides:
                raise UsageError("rows before this one hold " + ("pairs" if sides == SIDES else "single conversations"))
            conversations += [array("i", encode(tokenizer, row, side)) for side in sides]
            ids.append(number if row.get("id") is None else row["id"])
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None
    assert sides is not None
    return ConversationFile(sides, ids, conversations)


def sides_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of a row's conversations; some sets of pairs have "messages" besides."""
    for sides in (SIDES, CONVERSATION):
        if all(row.get(side) is not None for side in sides):
            return sides
    raise UsageError('the row must be an object with "messages", or with "chosen" and "rejected"')


def encode(tokenizer: Tokenizer, row: Mapping[str, Any], side: str) -> list[int]:
    """Return the token ids of one of a row's conversations."""
    if side in CONVERSATION:
        return encode_chat(tokenizer, row[side])[0]
    messages = conversation_of(row, side)
    try:
        return encode_chat(tokenizer, messages)[0]
    except UsageError as error:
        raise UsageError(f"{side}: {error}") from None


@dataclass(frozen=True)
class PairScores:
    """How well rewards tell chosen from rejected, over the pairs of which both were scored."""

    num_pairs: int
    num_ties: int
    accuracy: float  # share in which chosen is above rejected
    accuracy_error: float | None  # standard error; None = unknown, as one pair says nothing of how much pairs differ
    margin: float  # mean of chosen - rejected
    margin_error: float | None

    def __str__(self) -> str:
        error = "" if self.accuracy_error is None else f" ± {self.accuracy_error:.2%}"
        margin = f"{self.margin:.4f}" + ("" if self.margin_error is None else f" ± {self.margin_error:.4f}")
        ties = ", 1 of them a tie, which counts as wrong" if self.num_ties == 1 else ""
        if self.num_ties > 1:
            ties = f", {self.num_ties:,} of them ties, which count as wrong"
        return (
            f"chosen above rejected in {self.accuracy:.2%}{error} of {self.num_pairs:,} pairs{ties}; "
            f"mean margin {margin}"
        )


def pair_scores(rewards: Rewards) -> PairScores | None:
    """Compare the rewards of pairs, given as chosen, rejected, chosen, ...; None if no pair was scored."""
    pairs = zip(rewards[::2], rewards[1::2], strict=True)
    margins = [chosen - rejected for chosen, rejected in pairs if chosen is not None and rejected is not None]
    if not margins:
        return None
    is_right = [float(margin > 0) for margin in margins]
    return PairScores(
        len(margins),
        sum(margin == 0 for margin in margins),
        fmean(is_right),
        standard_error(is_right),
        fmean(margins),
        standard_error(margins),
    )


def standard_error(values: Sequence[float]) -> float | None:
    """Return that of the mean, from the deviation with n - 1."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
