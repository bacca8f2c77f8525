"""One optimizer step: the only place where gradients become new weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from olmo2.data.batch import IGNORED_LABEL, Batch
from olmo2.loss.language_model import LossSums
from olmo2.model.transformer import Transformer
from olmo2.optim.skip_step import StepGuard

LossOf = Callable[[Transformer, Batch], LossSums]  # summed over the target tokens of a micro-batch


@dataclass(frozen=True)
class StepMetrics:
    """What happened in a step."""

    loss_nats: float  # mean cross-entropy of the global batch's target tokens
    grad_norm: float  # before clipping
    target_tokens: int
    is_skipped: bool

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return math.isfinite(self.loss_nats) and math.isfinite(self.grad_norm)


def train_step(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    loss_of: LossOf,
    *,
    lr: float,
    max_grad_norm: float,
    micro_batch_sequences: int,
    guard: StepGuard,
) -> StepMetrics:
    """Accumulate gradients over micro-batches, clip, step, clear.

    Every micro-batch adds its sum of token losses divided by the target tokens of the whole batch: the gradient
    does not depend on how the batch was cut, nor on where padding fell. A step that the guard refuses leaves
    weights and optimizer untouched.
    """
    target_tokens = int((batch.labels != IGNORED_LABEL).sum())
    cross_entropy = 0.0
    for micro_batch in batch.split(micro_batch_sequences):
        sums = loss_of(model, micro_batch.to(model.device))
        (sums.total / max(target_tokens, 1)).backward()
        cross_entropy += sums.cross_entropy.item()
    loss = cross_entropy / max(target_tokens, 1)
    grad_norm = nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm, foreach=True).item()

    is_accepted = guard.accepts(loss, grad_norm)
    if is_accepted:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    optimizer.zero_grad()
    return StepMetrics(loss, grad_norm, target_tokens, is_skipped=not is_accepted)
