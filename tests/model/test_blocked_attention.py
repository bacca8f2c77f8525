"""Attention in blocks against a loop, at lengths that fill, break and exceed its blocks."""

import pytest
import torch
from torch import Tensor

from olmo2.model import blocked_attention
from olmo2.model.attention import visible_keys
from olmo2.model.blocked_attention import BlockedAttention, blocks
from tests.model.reference import slow_attention


@pytest.fixture(autouse=True)
def cut_short_sequences_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop to compare with is slow."""
    monkeypatch.setattr(blocked_attention, "SHORTEST_CUT", 64)


def random_heads(seq_len: int, scale: float = 1.0) -> list[Tensor]:
    """Queries, keys and values (1, 2, T, 8)."""
    generator = torch.Generator().manual_seed(seq_len)
    return [scale * torch.randn(1, 2, seq_len, 8, generator=generator) for _ in range(3)]


def documents(seq_len: int) -> Tensor:
    """(1, 1, T, T): three documents whose borders lie inside blocks, then padding."""
    places = torch.arange(seq_len)[None]
    ids = (places > seq_len // 5).int() + (places > seq_len // 2).int()
    ids[places >= seq_len - 3] = -1
    return visible_keys(ids, ids)


@pytest.mark.parametrize("seq_len", [1, 63, 64, 65, 128, 130, 255, 256, 257, 300])
def test_blocks_cut_every_position_once(seq_len: int) -> None:
    places = torch.arange(seq_len)
    cut = blocks(seq_len)
    assert torch.equal(torch.cat([places[block] for block, _ in cut]), places)
    assert all(len(places[block]) > 0 for block, _ in cut)
    assert all((past.start, past.stop) == (0, block.stop) for block, past in cut)
    assert len(cut) == (1 if seq_len < 64 else 4)


@pytest.mark.parametrize("has_documents", [False, True])
@pytest.mark.parametrize("seq_len", [5, 64, 70, 130, 300])
def test_value_and_gradients_equal_the_loop(seq_len: int, has_documents: bool) -> None:
    is_visible = documents(seq_len) if has_documents else None
    ours = [heads.requires_grad_() for heads in random_heads(seq_len)]
    twins = [heads.detach().clone().requires_grad_() for heads in ours]
    output, expected = BlockedAttention.apply(*ours, is_visible), slow_attention(*twins, is_visible)
    torch.testing.assert_close(output.double(), expected, rtol=0, atol=1e-5)
    factors = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    output.backward(factors)
    expected.backward(factors.double())
    for mine, twin in zip(ours, twins, strict=True):
        torch.testing.assert_close(mine.grad, twin.grad, rtol=0, atol=1e-5)


def test_second_derivatives_are_refused_rather_than_wrong() -> None:
    heads = [x.requires_grad_() for x in random_heads(5)]
    (grad, *_) = torch.autograd.grad(BlockedAttention.apply(*heads, None).square().sum(), heads, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_large_scores_do_not_overflow() -> None:
    ours = [heads.requires_grad_() for heads in random_heads(70, scale=100.0)]  # scores of about 30,000
    output = BlockedAttention.apply(*ours, None)
    expected = slow_attention(*ours, None)
    torch.testing.assert_close(output.double(), expected, rtol=1e-3, atol=1e-2)
    output.sum().backward()
    assert all(heads.grad.isfinite().all() for heads in ours)


def test_bfloat16_gradients_stay_within_their_rounding() -> None:
    ours = [heads.bfloat16().requires_grad_() for heads in random_heads(130)]
    twins = [heads.detach().double().requires_grad_() for heads in ours]
    factors = torch.randn(1, 2, 130, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    BlockedAttention.apply(*ours, None).backward(factors)
    slow_attention(*twins, None).backward(factors.double())
    for mine, twin in zip(ours, twins, strict=True):
        assert mine.grad.dtype == torch.bfloat16
        assert (mine.grad.double() - twin.grad).norm() < 2**-7 * twin.grad.norm()


def test_heads_may_lie_in_memory_in_any_order() -> None:
    heads = random_heads(70)
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for x in heads]
    plain = [x.clone().requires_grad_() for x in heads]
    assert not strided[0].is_contiguous()
    for some in (strided, plain):
        BlockedAttention.apply(*some, None).transpose(1, 2).flatten(2).square().sum().backward()
    for mine, twin in zip(strided, plain, strict=True):
        torch.testing.assert_close(mine.grad, twin.grad, rtol=0, atol=1e-5)
