"""Logits -> the next token: greedy, or drawn after temperature, top-k and top-p.

Shapes   B rows · V vocabulary
"""

import torch
from pydantic import Field
from torch import Tensor

from olmo2.base.config import Settings

COLDEST = 1e-4  # below this a draw is always the most likely token, and logits over it might overflow


class SamplingSettings(Settings):
    """How the next token is chosen."""

    temperature: float = Field(default=0.0, ge=0)
    """0 = always the most likely token; higher = more varied"""
    top_k: int | None = Field(default=None, ge=1)
    """draw only from this many most likely tokens"""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """draw only from the most likely tokens that together have this probability"""
    max_new_tokens: int = Field(default=256, ge=1)
    """tokens of the answer at most"""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """of the draws"""


def choose_tokens(logits: Tensor, settings: SamplingSettings, generator: torch.Generator) -> Tensor:
    """Return (B,) token ids for `logits` (B, V); `generator` lives on the CPU."""
    if settings.temperature < COLDEST:
        return logits.argmax(dim=-1)
    scaled = logits.float() / settings.temperature
    if settings.top_k is not None:
        lowest_kept = scaled.topk(min(settings.top_k, scaled.shape[-1])).values[:, -1:]
        scaled = scaled.masked_fill(scaled < lowest_kept, -torch.inf)
    probabilities = scaled.softmax(dim=-1)
    if settings.top_p < 1:
        ordered, index = probabilities.sort(dim=-1, descending=True)
        is_beyond = ordered.cumsum(dim=-1) - ordered >= settings.top_p  # the likeliest token always stays
        probabilities = torch.zeros_like(probabilities).scatter(-1, index, ordered.masked_fill(is_beyond, 0.0))
    return torch.multinomial(probabilities.cpu(), 1, generator=generator)[:, 0].to(logits.device)
