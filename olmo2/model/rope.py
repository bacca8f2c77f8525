"""Rotary position embedding in float32, in the layout that rotates the two halves of a head.

Shapes   B rows · T positions · H heads · D head width
"""

import torch
from torch import Tensor


def rope_tables(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines, each (..., T, D) float32, for integer `positions` (..., T).

    The sines of the first half of a head are negative, as `rotate` wants them.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    # The reciprocal of the power, as transformers rounds it: at position 4,000 the last bit moves logits by 5e-5.
    angles = positions[..., None].float() * (1.0 / theta**exponents)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate heads `x` (B, H, T, D) by tables that broadcast to it; computed in float32, returned in x's dtype."""
    precise = x.float()
    swapped = precise.unflatten(-1, (2, -1)).flip(-2).flatten(-2)  # (second half, first half): one pass when compiled
    return (precise * cos + swapped * sin).to(x.dtype)
