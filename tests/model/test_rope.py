"""RoPE against the rotation of complex numbers."""

import pytest
import torch

from olmo2.model.rope import rope_tables, rotate
from olmo2.model.sizes import SIZES
from tests.model.reference import hf_config, slow_rotate

GENERATOR = torch.Generator().manual_seed(0)
HEADS = torch.randn(2, 3, 12, 16, generator=GENERATOR)  # (B, H, T, D)


@pytest.mark.parametrize("theta", [100.0, 500_000.0])
def test_equals_the_complex_rotation(theta: float) -> None:
    positions = torch.arange(12)
    ours = rotate(HEADS, *rope_tables(positions, 16, theta))
    torch.testing.assert_close(ours.double(), slow_rotate(HEADS, positions, theta), rtol=0, atol=5e-6)


def test_tables_of_the_published_models_are_those_of_transformers_to_the_bit() -> None:
    """At 4,000 tokens an angle of thousands of radians shows how its frequency was rounded."""
    olmo2 = pytest.importorskip("transformers.models.olmo2.modeling_olmo2")
    positions = torch.arange(4096)
    theirs = olmo2.Olmo2RotaryEmbedding(hf_config(SIZES["olmo2-7b"]))(torch.zeros(()), positions[None])
    cos, sin = rope_tables(positions, 128, 500_000.0)
    assert torch.equal(cos, theirs[0][0])
    assert torch.equal(sin[:, 64:], theirs[1][0, :, 64:]) and torch.equal(-sin[:, :64], theirs[1][0, :, :64])


def test_far_positions_lose_only_the_rounding_of_the_angle() -> None:
    positions = torch.arange(4084, 4096)
    ours = rotate(HEADS, *rope_tables(positions, 16, 500_000.0))
    torch.testing.assert_close(ours.double(), slow_rotate(HEADS, positions, 500_000.0), rtol=0, atol=2e-3)


def test_rows_may_have_positions_of_their_own() -> None:
    positions = torch.stack((torch.arange(12), torch.tensor([0, 1, 2, 0, 1, 0, 1, 2, 3, 4, 5, 6])))
    cos, sin = rope_tables(positions, 16, 100.0)
    assert cos.shape == sin.shape == (2, 12, 16)
    ours = rotate(HEADS, cos[:, None], sin[:, None])
    torch.testing.assert_close(ours.double(), slow_rotate(HEADS, positions[:, None], 100.0), rtol=0, atol=5e-6)


def test_gradient_is_the_rotation_back() -> None:
    heads, positions = HEADS.clone().requires_grad_(), torch.arange(12)
    factors = torch.randn(HEADS.shape, generator=GENERATOR)
    rotate(heads, *rope_tables(positions, 16, 100.0)).backward(factors)
    torch.testing.assert_close(heads.grad.double(), slow_rotate(factors, -positions, 100.0), rtol=0, atol=5e-6)


def test_scores_depend_on_the_distance_alone() -> None:
    query, key = HEADS[:1, :1, :1], HEADS[1:, 1:2, :1]

    def score(query_place: int, key_place: int) -> torch.Tensor:
        turned = (
            rotate(x, *rope_tables(torch.tensor([at]), 16, 100.0)) for x, at in ((query, query_place), (key, key_place))
        )
        return torch.mul(*turned).sum()

    torch.testing.assert_close(score(9, 4), score(105, 100), rtol=0, atol=1e-4)
    assert abs(score(9, 4) - score(9, 5)) > 1e-2


def test_bfloat16_is_rounded_once_at_the_end() -> None:
    tables = rope_tables(torch.arange(12), 16, 100.0)
    assert tables[0].dtype == tables[1].dtype == torch.float32
    halves = HEADS.bfloat16()
    assert torch.equal(rotate(halves, *tables), rotate(halves.float(), *tables).bfloat16())
