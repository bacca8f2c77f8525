"""The reward of conversations by a reward model, in batches of similar length.

Shapes   B conversations · T positions, padding on the right
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from olmo2.model.reward_head import scores_at
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.chat_template import Message, encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

BATCH_TOKENS = 16_384


def reward_of(
    model: Transformer,
    tokenizer: Tokenizer,
    conversations: Sequence[Sequence[Message]],
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> list[float | None]:
    """Return the reward of each conversation; None for one that is longer than the model's context.

    Raises UsageError for messages that are not a conversation.
    """
    encoded = [encode_chat(tokenizer, messages)[0] for messages in conversations]
    return reward_of_tokens(model, encoded, batch_tokens=batch_tokens)


@torch.no_grad()
def reward_of_tokens(
    model: Transformer,
    conversations: Sequence[Sequence[int]],  # token ids, at least one in each
    *,
    batch_tokens: int = BATCH_TOKENS,  # of one forward at most, padding included; a longer conversation goes alone
    tick: Callable[[int], None] = lambda _: None,  # told the number of tokens of every batch that is done
) -> list[float | None]:
    """Return the reward of each conversation, which is that of its last token, whatever token that is.

    A conversation that is longer than the model's context has None: cut short, it has no last token to judge.
    """
    rewards: list[float | None] = [None] * len(conversations)
    for numbers in batches_by_length(conversations, model.config.max_position_embeddings, batch_tokens):
        input_ids, last = padded([conversations[number] for number in numbers])
        scores = model(input_ids.to(model.device), head=scores_at(last.to(model.device)))
        for number, score in zip(numbers, scores.tolist(), strict=True):
            rewards[number] = score
        tick(int((last + 1).sum()))
    return rewards


def batches_by_length(conversations: Sequence[Sequence[int]], context: int, batch_tokens: int) -> Iterator[list[int]]:
    """Yield the numbers of those that fit the context, batch by batch: the longest first, so that memory ends early."""
    fitting = (number for number, ids in enumerate(conversations) if len(ids) <= context)
    ordered = sorted(fitting, key=lambda number: len(conversations[number]), reverse=True)
    start = 0
    while start < len(ordered):
        num_rows = max(1, batch_tokens // len(conversations[ordered[start]]))
        yield ordered[start : start + num_rows]
        start += num_rows


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return the ids (B, T) and the last position (B,) of every row; no token sees what stands behind it."""
    last = torch.tensor([len(ids) - 1 for ids in rows])
    input_ids = torch.zeros(len(rows), int(last.max()) + 1, dtype=torch.int64)
    for row, ids in zip(input_ids, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return input_ids, last
