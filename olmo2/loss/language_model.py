"""Cross-entropy with z-loss over target tokens, without ever holding all logits of a batch.

Shapes   N = B·T positions · C hidden width · V vocabulary
Units    nats, summed over target tokens; the caller divides by the target tokens of the global batch
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

IGNORED_LABEL = -100
CHUNK_LOGITS = 2**23  # logits alive at a time: 32 MB in float32


class LossSums(NamedTuple):
    """Sums over target tokens."""

    total: Tensor  # cross-entropy + z-loss: differentiate this
    cross_entropy: Tensor  # no gradient


def language_model_loss(
    hidden: Tensor,  # (B, T, C) compute dtype
    lm_head_weight: Tensor,  # (V, C)
    labels: Tensor,  # (B, T) the token to predict at each position, -100 where none
    *,
    z_loss_weight: float = 0.0,
) -> LossSums:
    """Return the summed loss of the positions that have a label.

    loss = logsumexp(z) - z[label] + z_loss_weight · logsumexp(z)², with logits z in float32. Logits are made,
    used and dropped chunk by chunk; gradients of `hidden` and of the output matrix are computed on the way
    forward, so backward only scales them. Positions without a label cost nothing.
    """
    has_label = labels.flatten() != IGNORED_LABEL
    targets = labels.flatten()
    states = hidden.flatten(0, 1)
    if not bool(has_label.all()):
        targets, states = targets[has_label], states[has_label]
    total, cross_entropy = ChunkedLoss.apply(states, lm_head_weight, targets, z_loss_weight)
    return LossSums(total, cross_entropy)


class ChunkedLoss(torch.autograd.Function):
    """The loss above for positions that all have a label: states (N, C), targets (N,)."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, lm_head_weight: Tensor, targets: Tensor, z_loss_weight: float
    ) -> tuple[Tensor, Tensor]:
        needs_states, needs_weight = ctx.needs_input_grad[:2]
        weight = lm_head_weight.to(states.dtype)
        states_grad = torch.empty_like(states) if needs_states else None
        weight_grad = torch.zeros_like(lm_head_weight) if needs_weight else None
        total = states.new_zeros((), dtype=torch.float32)
        cross_entropy = torch.zeros_like(total)
        chunk_size = max(1, CHUNK_LOGITS // weight.shape[0])
        for start in range(0, len(states), chunk_size):
            rows = slice(start, start + chunk_size)
            chunk_total, chunk_entropy, logits_grad = loss_and_gradient(
                states[rows] @ weight.T, targets[rows], z_loss_weight
            )
            total += chunk_total
            cross_entropy += chunk_entropy
            if states_grad is not None:
                torch.mm(logits_grad, weight, out=states_grad[rows])
            if weight_grad is not None:
                weight_grad += logits_grad.T @ states[rows]
        ctx.save_for_backward(states_grad, weight_grad)
        ctx.mark_non_differentiable(cross_entropy)
        return total, cross_entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        states_grad, weight_grad = ctx.saved_tensors
        scale = grads[0]
        return (
            None if states_grad is None else states_grad * scale.to(states_grad.dtype),
            None if weight_grad is None else weight_grad * scale,
            None,
            None,
        )


def loss_and_gradient(logits: Tensor, targets: Tensor, z_loss_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return summed loss, summed cross-entropy and d loss / d logits (in the dtype of `logits`) of one chunk."""
    precise = logits.float()
    log_normaliser = precise.logsumexp(dim=-1, keepdim=True)
    cross_entropy = (log_normaliser - precise.gather(1, targets[:, None])).sum()
    total = cross_entropy + z_loss_weight * log_normaliser.square().sum()
    gradient = (precise - log_normaliser).exp_() * (1 + 2 * z_loss_weight * log_normaliser)
    gradient.scatter_add_(1, targets[:, None], -torch.ones_like(log_normaliser))
    return total, cross_entropy, gradient.to(logits.dtype)
