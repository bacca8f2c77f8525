"""What a stage minimises: a loss that adds up over a batch, and what its sums are divided by.

A step takes means over the whole global batch, so an objective says how much of each unit a batch holds: target
tokens, conversations or pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor

from olmo2.data.batch import IGNORED_LABEL, Batch
from olmo2.loss.language_model import language_model_loss
from olmo2.model.transformer import Transformer
from olmo2.parallel.compile import chunk_loss_of

Count = Callable[[Batch], int]
Reduction = Literal["mean", "sum"]


class Sums(NamedTuple):
    """What a batch adds to a step."""

    total: Tensor  # scalar: differentiate this
    reported: Tensor  # (1 + measures,), no gradient: the loss as it is written down, then the objective's measures


@dataclass(frozen=True)
class Objective:
    """A loss over batches, how to divide it, and how to name what is measured on the way."""

    loss_of: Callable[[Transformer, Batch], Sums]
    count: Count
    """what the reported sums are means of"""
    divisor: Count
    """what the loss that is differentiated is a mean of"""
    measures: tuple[str, ...] = ()
    """names of the reported sums after the loss"""


def next_token(z_loss_weight: float, reduction: Reduction = "mean") -> Objective:
    """Return the objective of language modelling: cross-entropy of the next token plus z-loss.

    With "mean" it is a mean over target tokens, with "sum" over conversations (documents of a batch), each of which
    counts with the sum over its tokens. The loss that is written down is a mean over target tokens in either case.
    """

    def loss_of(model: Transformer, batch: Batch) -> Sums:
        chunk_loss = chunk_loss_of(model)

        def head(hidden: Any, lm_head_weight: Any) -> Any:
            found = language_model_loss(
                hidden, lm_head_weight, batch.labels, z_loss_weight=z_loss_weight, chunk_loss=chunk_loss
            )
            return Sums(found.total, found.cross_entropy[None])

        return model(batch.input_ids, document_ids=batch.document_ids, head=head)

    return Objective(loss_of, num_targets, num_targets if reduction == "mean" else num_documents)


def num_targets(batch: Batch) -> int:
    """Return the target tokens of a batch."""
    return int((batch.labels != IGNORED_LABEL).sum())


def num_documents(batch: Batch) -> int:
    """Return the documents of a batch: rows, where there are no document ids."""
    ids = batch.document_ids
    if ids is None:
        return len(batch.input_ids)
    is_next = (ids[:, 1:] != ids[:, :-1]) & (ids[:, 1:] >= 0)
    return int((ids[:, 0] >= 0).sum() + is_next.sum())
