"""Causal attention by plain matrix products, block of queries by block of queries: the fast way on CPUs.

A block of queries meets only the keys up to its own end, which leaves out most of the hidden half. Scores are
products in the compute dtype, the softmax is in float32. Its numerators are kept for the way back, so memory
grows with T²: H·T²·5/8 numbers of the compute dtype for each row and layer.

Shapes   B rows · H heads · T positions · D head width
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

NUM_BLOCKS = 4
SHORTEST_CUT = 512  # shorter sequences gain nothing from being cut, and every block takes seconds to compile


class BlockedAttention(torch.autograd.Function):
    """softmax(q·kᵀ / √D)·v for queries, keys and values (B, H, T, D) and is_visible (B, 1, T, T) or None (causal).

    With numerators w = exp(score - row maximum), their row sums s and output o = w·v / s, the gradient of the
    scores is w·(g·vᵀ - rowsum(g·o)), where g is the gradient of the output over s.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, is_visible: Tensor | None) -> Tensor:
        outputs, numerators, row_sums = [], [], []
        for block, past in blocks(queries.shape[2]):
            past_keys = keys[:, :, past].contiguous()  # the product would copy its transpose, which is slower
            scores = (queries[:, :, block] @ past_keys.mT).float() * queries.shape[3] ** -0.5
            scores = scores.masked_fill(is_hidden(block, past, is_visible, scores.device), -math.inf)
            numerator = (scores - scores.amax(dim=-1, keepdim=True)).exp().to(values.dtype)
            row_sum = numerator.float().sum(dim=-1, keepdim=True)
            outputs.append(((numerator @ values[:, :, past]) / row_sum).to(values.dtype))
            numerators.append(numerator)
            row_sums.append(row_sum)
        output = torch.cat(outputs, dim=2)
        ctx.save_for_backward(queries, keys, values, output, torch.cat(row_sums, dim=2), *numerators)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        queries, keys, values, output, row_sums, *numerators = ctx.saved_tensors
        seq_len, scale = queries.shape[2], queries.shape[3] ** -0.5
        output_grad = (grads[0] / row_sums).to(output.dtype)
        drift = (output_grad.float() * output.float()).sum(dim=-1, keepdim=True)
        queries_grads, keys_grad, values_grad = [], torch.zeros(()), torch.zeros(())
        for (block, past), numerator in zip(blocks(seq_len), numerators, strict=True):
            weights_grad = output_grad[:, :, block] @ values[:, :, past].contiguous().mT
            scores_grad = (numerator * (weights_grad.float() - drift[:, :, block]) * scale).to(queries.dtype)
            queries_grads.append(scores_grad @ keys[:, :, past])
            padding = (0, 0, 0, seq_len - past.stop)
            keys_grad = keys_grad + F.pad((scores_grad.mT @ queries[:, :, block]).float(), padding)
            values_grad = values_grad + F.pad((numerator.mT @ output_grad[:, :, block]).float(), padding)
        return torch.cat(queries_grads, dim=2), keys_grad.to(keys.dtype), values_grad.to(values.dtype), None


def blocks(seq_len: int) -> list[tuple[slice, slice]]:
    """Cut positions into blocks of queries, each with the keys up to its end."""
    size = seq_len if seq_len < SHORTEST_CUT else -(-seq_len // NUM_BLOCKS)
    ends = [min(start + size, seq_len) for start in range(0, seq_len, size)]
    return [(slice(start, end), slice(0, end)) for start, end in zip([0, *ends], ends, strict=False)]


def is_hidden(block: slice, past: slice, is_visible: Tensor | None, device: torch.device) -> Tensor:
    """Return which keys the queries of a block may not see; broadcasts to (B, H, block, past)."""
    if is_visible is not None:
        return ~is_visible[:, :, block, past]
    places = torch.arange(past.stop, device=device)
    return places[block, None] < places
