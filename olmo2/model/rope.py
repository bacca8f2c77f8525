"""Rotary position embedding in float32, in the layout that rotates the two halves of a head.

Shapes   B rows · T positions · H heads · D head width
"""

import torch
from torch import Tensor


def rope_tables(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each (..., T, D) float32, for integer `positions` (..., T)."""
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = positions[..., None].float() * theta**-exponents
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate heads `x` (B, H, T, D) by tables that broadcast to it; computed in float32, returned in x's dtype."""
    precise = x.float()
    first, second = precise.chunk(2, dim=-1)
    return (precise * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)
