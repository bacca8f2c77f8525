"""Attention on both of its paths against a loop over rows, heads and queries, and what a query may see."""

import pytest
import torch
from torch import Tensor

from olmo2.model import attention
from olmo2.model.attention import Attention, attend, visible_keys
from olmo2.model.rope import rope_tables
from tests.model.reference import random_model, slow_attention, slow_rms_norm, slow_rotate, small_config

Heads = tuple[Tensor, Tensor, Tensor]


def random_heads(num_kv_heads: int, seq_len: int, num_keys: int | None = None, seed: int = 0) -> Heads:
    """Queries (2, 4, T, 8), keys and values (2, K, S, 8)."""
    generator = torch.Generator().manual_seed(seed)
    places = (seq_len, num_keys or seq_len, num_keys or seq_len)
    heads = (4, num_kv_heads, num_kv_heads)
    queries, keys, values = (
        torch.randn(2, count, length, 8, generator=generator) for count, length in zip(heads, places, strict=True)
    )
    return 2 * queries, keys, values


def two_rows_of_documents(seq_len: int) -> Tensor:
    """Two documents in one row; left padding, a document and right padding in the other."""
    places = torch.arange(seq_len)
    packed = (places >= seq_len // 3).int()
    padded = torch.where((places < seq_len // 4) | (places >= seq_len - 1), -1, 0).int()
    return torch.stack((packed, padded))


@pytest.fixture(params=["blocks", "sdpa"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which way attention goes on CPUs."""
    if request.param == "sdpa":
        monkeypatch.setattr(attention, "MAX_BLOCKED_SEQ_LEN", 0)
    return request.param


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("has_documents", [False, True])
@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
@pytest.mark.parametrize("seq_len", [1, 7, 70])
def test_value_and_gradients_equal_the_loop(seq_len: int, num_kv_heads: int, has_documents: bool) -> None:
    documents = two_rows_of_documents(seq_len)
    is_visible = visible_keys(documents, documents) if has_documents else None
    ours = [heads.requires_grad_() for heads in random_heads(num_kv_heads, seq_len)]
    twins = [heads.detach().clone().requires_grad_() for heads in ours]
    output, expected = attend(*ours, is_visible), slow_attention(*twins, is_visible)
    torch.testing.assert_close(output.double(), expected, rtol=0, atol=1e-5)
    factors = torch.randn(output.shape, generator=torch.Generator().manual_seed(9))
    output.backward(factors)
    expected.backward(factors.double())
    for mine, twin in zip(ours, twins, strict=True):
        torch.testing.assert_close(mine.grad, twin.grad, rtol=0, atol=3e-5)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(("num_queries", "num_keys"), [(1, 9), (4, 9), (9, 9)])
def test_queries_that_continue_older_keys_equal_the_loop(num_queries: int, num_keys: int) -> None:
    queries, keys, values = random_heads(2, num_queries, num_keys)
    documents = two_rows_of_documents(num_keys)
    is_visible = visible_keys(documents[:, -num_queries:], documents)
    expected = slow_attention(queries, keys, values, is_visible)
    torch.testing.assert_close(attend(queries, keys, values, is_visible).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("path")
def test_bfloat16_stays_within_its_rounding() -> None:
    heads = [x.bfloat16() for x in random_heads(2, 70)]
    output = attend(*heads, None)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.double(), slow_attention(*heads, None), rtol=2**-6, atol=2**-6)


def test_a_query_sees_its_own_document_up_to_itself() -> None:
    documents = torch.tensor([[-1, 0, 0, 1, 1, -1]])
    expected = torch.tensor(
        [
            [1, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0],
            [0, 1, 1, 0, 0, 0],
            [0, 0, 0, 1, 0, 0],
            [0, 0, 0, 1, 1, 0],
            [1, 0, 0, 0, 0, 1],
        ]
    ).bool()
    assert torch.equal(visible_keys(documents, documents), expected[None, None])
    assert torch.equal(visible_keys(documents[:, 4:], documents), expected[None, None, 4:])


@pytest.mark.parametrize("num_kv_heads", [4, 2])
def test_the_layer_follows_the_paper_step_by_step(num_kv_heads: int) -> None:
    """Project, normalise the whole projection, split into heads, rotate, attend, project."""
    config = small_config(num_kv_heads)
    layer = random_model(config).model.layers[1].self_attn
    x, positions = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(0)), torch.arange(9)

    def projected(name: str) -> Tensor:
        return x.double() @ getattr(layer, name).weight.double().T

    def heads_of(wide: Tensor) -> Tensor:
        return torch.stack(wide.split(8, dim=-1), dim=1)

    queries, keys = (
        heads_of(slow_rms_norm(projected(f"{name}_proj"), getattr(layer, f"{name}_norm").weight, config.rms_norm_eps))
        for name in "qk"
    )
    queries, keys = (slow_rotate(heads, positions, config.rope_theta) for heads in (queries, keys))
    mixed = slow_attention(queries, keys, heads_of(projected("v_proj")), None)
    expected = torch.cat(mixed.unbind(1), dim=-1) @ layer.o_proj.weight.double().T
    ours = layer(x, rope_tables(positions, 8, config.rope_theta), None, None)
    torch.testing.assert_close(ours.double(), expected, rtol=0, atol=2e-5)


def test_query_and_key_norms_span_all_heads() -> None:
    layer = Attention(small_config(2), 0)
    assert layer.q_norm.weight.shape == (32,)
    assert layer.k_norm.weight.shape == (16,)
