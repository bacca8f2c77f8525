"""Linear: no bias, no filling of its own, and a weight that follows its input's dtype."""

import torch
import torch.nn.functional as F

from olmo2.model.linear import Linear


def filled(in_features: int = 6, out_features: int = 5) -> Linear:
    linear = Linear(in_features, out_features)
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    return linear


def test_is_a_product_without_bias() -> None:
    linear, x = filled(), torch.randn(2, 3, 6)
    assert [name for name, _ in linear.named_parameters()] == ["weight"]
    expected = (x.double()[..., None, :] * linear.weight.double()).sum(-1)
    torch.testing.assert_close(linear(x).double(), expected, rtol=1e-5, atol=1e-5)


def test_float32_weights_compute_in_the_dtype_of_the_input() -> None:
    linear, x = filled(), torch.randn(4, 6).bfloat16().requires_grad_()
    output = linear(x)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, F.linear(x, linear.weight.bfloat16()))
    output.sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.bfloat16
    assert linear.weight.grad is not None and linear.weight.grad.dtype == torch.float32
    expected = x.detach().float().sum(0).expand(5, 6)
    torch.testing.assert_close(linear.weight.grad, expected, rtol=2**-7, atol=1e-2)


def test_making_one_draws_no_random_numbers() -> None:
    before = torch.random.get_rng_state()
    Linear(6, 5)
    assert torch.equal(torch.random.get_rng_state(), before)
