"""One optimizer step: the only place where gradients become new weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from olmo2.data.batch import IGNORED_LABEL, Batch
from olmo2.loss.language_model import LossSums, language_model_loss
from olmo2.model.transformer import Transformer
from olmo2.optim.skip_step import StepGuard
from olmo2.parallel.compile import chunk_loss_of
from olmo2.parallel.ranks import Ranks
from olmo2.parallel.shards import local_part, num_copies
from olmo2.parallel.spread import wait_with_all_reduce

LossOf = Callable[[Transformer, Batch], LossSums]  # summed over the target tokens of a micro-batch


@dataclass(frozen=True)
class StepMetrics:
    """What happened in a step."""

    loss_nats: float  # mean cross-entropy of the global batch's target tokens
    grad_norm: float  # before clipping
    target_tokens: int
    is_skipped: bool
    is_left_out: bool = False  # not even computed, because the recipe says so

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return math.isfinite(self.loss_nats) and math.isfinite(self.grad_norm)


LEFT_OUT = StepMetrics(math.nan, math.nan, 0, is_skipped=True, is_left_out=True)


def next_token_loss(z_loss_weight: float) -> LossOf:
    """Return the loss of language modelling: cross-entropy of the next token plus z-loss."""

    def loss_of(model: Transformer, batch: Batch) -> LossSums:
        chunk_loss = chunk_loss_of(model)

        def head(hidden: Any, lm_head_weight: Any) -> Any:
            return language_model_loss(
                hidden, lm_head_weight, batch.labels, z_loss_weight=z_loss_weight, chunk_loss=chunk_loss
            )

        return model(batch.input_ids, document_ids=batch.document_ids, head=head)

    return loss_of


def train_step(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    batch: Batch,  # this rank's share of the global batch
    loss_of: LossOf,
    *,
    lr: float,
    max_grad_norm: float,
    micro_batch_sequences: int,
    guard: StepGuard,
    ranks: Ranks,
) -> StepMetrics:
    """Accumulate gradients over micro-batches, clip, step, clear.

    Every micro-batch adds its sum of token losses divided by the target tokens of the whole global batch, and ranks
    add up their gradients: the result does not depend on how the batch was cut, on the number of ranks, nor on where
    padding fell. A step that the guard refuses leaves weights and optimizer untouched.
    """
    batch = replace(batch, labels=ranks.positions.own(batch.labels))
    target_tokens = int(ranks.sum(int((batch.labels != IGNORED_LABEL).sum()))[0])
    cross_entropy = torch.zeros((), dtype=torch.float64, device=model.device)
    # Copied as a whole: every copy makes the processor wait for what the device still has to do.
    micro_batches = batch.to(model.device).split(micro_batch_sequences)
    for number, micro_batch in enumerate(micro_batches, 1):
        wait_with_all_reduce(model, is_last=number == len(micro_batches))
        sums = loss_of(model, micro_batch)
        (sums.total / max(target_tokens, 1)).backward()
        cross_entropy += sums.cross_entropy
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    nats, squares = ranks.sum(cross_entropy.item(), own_squares(gradients))
    loss, grad_norm = nats / max(target_tokens, 1), math.sqrt(squares)
    clip(gradients, grad_norm, max_grad_norm)

    is_accepted = guard.accepts(loss, grad_norm)
    if is_accepted:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    optimizer.zero_grad()
    return StepMetrics(loss, grad_norm, target_tokens, is_skipped=not is_accepted)


def own_squares(gradients: list[Tensor]) -> float:
    """Return this rank's part of the sum of squares of all gradients; what several ranks hold counts in shares."""
    norms = torch._foreach_norm([local_part(gradient) for gradient in gradients])
    copies = torch.tensor([num_copies(gradient) for gradient in gradients], dtype=torch.float64)
    return (torch.stack(norms).cpu().double().square() / copies).sum().item()


def clip(gradients: list[Tensor], norm: float, max_norm: float) -> None:
    """Scale gradients down to a global norm of `max_norm` in place (coefficient as in torch's clip_grad_norm_)."""
    if norm > max_norm:
        torch._foreach_mul_([local_part(gradient) for gradient in gradients], max_norm / (norm + 1e-6))
