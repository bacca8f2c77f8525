"""Chunked attention on gathered keys equals plain attention; the exchange itself is shown by test_spread.py."""

import pytest
import torch
import torch.nn.functional as F

from olmo2.parallel import context as context_file
from olmo2.parallel.context import ContextAttention
from olmo2.parallel.positions import Positions
from tests.conftest import TINY


@pytest.mark.parametrize("has_documents", [False, True])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_ranks_queries_meet_the_keys_before_them(
    monkeypatch: pytest.MonkeyPatch, rank: int, has_documents: bool
) -> None:
    """Two ranks; what the other one has is handed over by hand, rank after rank as an exchange would."""
    torch.manual_seed(0)
    queries, keys, values = torch.randn(1, 4, 16, 8), torch.randn(1, 2, 16, 8), torch.randn(1, 2, 16, 8)
    document = torch.arange(16) >= 6
    visible = torch.ones(16, 16, dtype=torch.bool).tril()
    if has_documents:
        visible &= document[:, None] == document[None, :]
    expected = F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible, enable_gqa=True)

    gathered = torch.cat([Positions(2, each).in_attention(16) for each in (0, 1)])
    wholes = iter((keys[:, :, gathered], values[:, :, gathered]))
    monkeypatch.setattr(context_file, "gather", lambda heads, mesh: next(wholes))
    attention = ContextAttention(TINY, 0)
    attention.positions, attention.context_mesh = Positions(2, rank), None  # type: ignore[assignment]
    own = attention.positions.in_attention(16)
    mask = visible[own][None, None] if has_documents else None
    mixed = attention.mix(queries[:, :, own], keys[:, :, own], values[:, :, own], mask)
    torch.testing.assert_close(mixed, expected[:, :, own])
