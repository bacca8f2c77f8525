"""How well a model predicts held-out text: nats a token, and bits a byte, which do not depend on the tokenizer.

Shapes   B sequences · T positions
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from olmo2.data.batch import IGNORED_LABEL, Batch, Sequences
from olmo2.loss.language_model import language_model_loss
from olmo2.model.transformer import Transformer
from olmo2.parallel.ranks import Ranks
from olmo2.parallel.spread import drop_gathered


@dataclass(frozen=True)
class HeldOut:
    """The loss on held-out text."""

    loss_nats: float  # mean over predicted tokens
    bits_per_byte: float  # over the UTF-8 bytes that the predicted tokens stand for
    num_tokens: int


def heldout_batches(sequences: Sequences, *, batch_sequences: int, max_tokens: int) -> list[Batch]:
    """Return batches of at most `max_tokens` tokens in all, taken evenly from all of `sequences`."""
    num_sequences = max(1, min(len(sequences), max_tokens // sequences.seq_len))
    indices = np.linspace(0, len(sequences) - 1, num_sequences).astype(np.int64)
    return [
        sequences.batch(indices[start : start + batch_sequences]) for start in range(0, num_sequences, batch_sequences)
    ]


@torch.no_grad()
def heldout_loss(
    model: Transformer,
    batches: Sequence[Batch],
    token_bytes: np.ndarray,  # (vocab_size,) UTF-8 bytes of each token id, 0 for special tokens
    ranks: Ranks,
) -> HeldOut:
    """Measure the loss on the target tokens of `batches`, which all ranks have and share among them."""
    nats = num_tokens = num_bytes = 0.0
    for batch in own_batches(batches, ranks):
        targets = batch.labels[batch.labels != IGNORED_LABEL].numpy()
        moved = batch.to(model.device)
        nats += cross_entropy_sum(model, moved.input_ids, moved.labels, moved.document_ids)
        num_tokens += len(targets)
        num_bytes += int(token_bytes[targets].sum())
    drop_gathered(model)
    nats, num_tokens, num_bytes = ranks.sum(nats, num_tokens, num_bytes)
    return HeldOut(nats / max(num_tokens, 1), nats / math.log(2) / max(num_bytes, 1), int(num_tokens))


def own_batches(batches: Sequence[Batch], ranks: Ranks) -> Iterator[Batch]:
    """Yield this rank's share of the batches, with labels for its positions alone; as many for every rank."""
    num_shares = ranks.grid.batch_ranks
    for start in range(0, len(batches), num_shares):
        number = start + ranks.batch_rank
        batch = batches[min(number, len(batches) - 1)]
        labels = ranks.positions.own(batch.labels)
        # Ranks compute together: one that has nothing left goes along with a batch in which nothing counts.
        yield replace(batch, labels=labels if number < len(batches) else torch.full_like(labels, IGNORED_LABEL))


def cross_entropy_sum(model: Transformer, input_ids: Tensor, labels: Tensor, document_ids: Tensor | None) -> float:
    """Return the summed cross-entropy, in nats, of the labels of one batch (B, T)."""

    def head(hidden: Tensor, lm_head_weight: Tensor) -> Tensor:
        return language_model_loss(hidden, lm_head_weight, labels).cross_entropy

    return model(input_ids, document_ids=document_ids, head=head).item()
