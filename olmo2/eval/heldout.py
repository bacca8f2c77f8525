"""How well a model predicts held-out text: nats a token, and bits a byte, which do not depend on the tokenizer.

Shapes   B sequences · T positions
"""

import math
from collections.abc import Iterable, Iterator, Sequence
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
    """The loss on held-out text, as sums over predicted tokens."""

    nats: float
    num_tokens: int
    num_bytes: int  # UTF-8 bytes that the predicted tokens stand for

    @property
    def loss_nats(self) -> float:
        """Mean over predicted tokens."""
        return self.nats / max(self.num_tokens, 1)

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of the text."""
        return self.nats / math.log(2) / max(self.num_bytes, 1)


def pooled(parts: Iterable[HeldOut]) -> HeldOut:
    """Return the loss on all parts together, in which every token counts the same."""
    parts = list(parts)
    return HeldOut(
        math.fsum(part.nats for part in parts),
        sum(part.num_tokens for part in parts),
        sum(part.num_bytes for part in parts),
    )


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
        nats += cross_entropy_sum(model, batch.to(model.device))
        num_tokens += len(targets)
        num_bytes += int(token_bytes[targets].sum())
    drop_gathered(model)
    nats, num_tokens, num_bytes = ranks.sum(nats, num_tokens, num_bytes)
    return HeldOut(nats, int(num_tokens), int(num_bytes))


def own_batches(batches: Sequence[Batch], ranks: Ranks) -> Iterator[Batch]:
    """Yield this rank's share of the batches, with labels for its positions alone; as many for every rank."""
    num_shares = ranks.grid.batch_ranks
    for start in range(0, len(batches), num_shares):
        number = start + ranks.batch_rank
        batch = batches[min(number, len(batches) - 1)]
        labels = ranks.positions.own(batch.labels)
        # Ranks compute together: one that has nothing left goes along with a batch in which nothing counts.
        yield replace(batch, labels=labels if number < len(batches) else torch.full_like(labels, IGNORED_LABEL))


def cross_entropy_sum(model: Transformer, batch: Batch) -> float:
    """Return the summed cross-entropy, in nats, of the labels of one batch."""

    def head(hidden: Tensor, lm_head_weight: Tensor) -> Tensor:
        # Detached: else the gradient of the output matrix is computed too, even without a backward to come.
        return language_model_loss(hidden, lm_head_weight.detach(), batch.labels).cross_entropy

    return model(batch.input_ids, document_ids=batch.document_ids, head=head).item()


def cross_entropy_of_rows(model: Transformer, batch: Batch) -> Tensor:
    """Return the same for every sequence of the batch by itself, (B,) float32."""

    def head(hidden: Tensor, lm_head_weight: Tensor) -> Tensor:
        rows = zip(hidden.split(1), batch.labels.split(1), strict=True)
        losses = [language_model_loss(states, lm_head_weight.detach(), labels) for states, labels in rows]
        return torch.stack([loss.cross_entropy for loss in losses])

    return model(batch.input_ids, document_ids=batch.document_ids, head=head)
