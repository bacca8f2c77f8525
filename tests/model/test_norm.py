"""RMSNorm: the formula in float64, its gradients, and what it does with dtypes."""

import pytest
import torch

from olmo2.model.norm import RMSNorm
from tests.model.reference import slow_rms_norm


def random_norm(size: int = 24, eps: float = 1e-2) -> RMSNorm:
    norm = RMSNorm(size, eps)
    torch.nn.init.normal_(norm.weight, mean=1, std=0.5, generator=torch.Generator().manual_seed(0))
    return norm


@pytest.fixture
def x() -> torch.Tensor:
    return 3 * torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(1))


def test_value_and_gradients_follow_the_formula(x: torch.Tensor) -> None:
    norm, twin = random_norm(), x.clone().requires_grad_()
    weight = norm.weight.detach().clone().requires_grad_()
    factors = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    ours, slow = norm(x.requires_grad_()), slow_rms_norm(twin, weight, norm.eps)
    torch.testing.assert_close(ours.double(), slow, rtol=1e-5, atol=1e-6)
    (ours * factors).sum().backward()
    (slow * factors).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm.weight.grad, weight.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_rounding_to_the_dtype_of_the_input(x: torch.Tensor, dtype: torch.dtype, weight_dtype: torch.dtype) -> None:
    norm = random_norm().to(weight_dtype)
    ours = norm(x.to(dtype))
    assert ours.dtype == dtype
    slow = slow_rms_norm(x.to(dtype), norm.weight, norm.eps)
    step = torch.finfo(dtype).eps  # half a step from rounding, and a little from float32 inside
    assert ((ours.double() - slow).abs() <= slow.abs() * step * (0.501 if dtype == torch.bfloat16 else 4)).all()


def test_equals_transformers_bit_by_bit_in_bfloat16(x: torch.Tensor) -> None:
    modeling = pytest.importorskip("transformers.models.olmo2.modeling_olmo2")
    norm = random_norm().bfloat16()
    theirs = modeling.Olmo2RMSNorm(24, eps=norm.eps).bfloat16()
    theirs.load_state_dict(norm.state_dict())
    assert torch.equal(norm(x.bfloat16()), theirs(x.bfloat16()))


def test_zeros_stay_zeros() -> None:
    assert torch.equal(random_norm(eps=1e-6)(torch.zeros(2, 24)), torch.zeros(2, 24))
