"""The feed-forward layer against its formula."""

import pytest
import torch

from olmo2.model.mlp import MLP
from tests.model.reference import random_model, small_config


def test_value_and_gradients_follow_the_formula() -> None:
    mlp = random_model(small_config()).model.layers[0].mlp
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    weights = {name: value.detach().double().requires_grad_() for name, value in mlp.named_parameters()}
    gate, up = x.double() @ weights["gate_proj.weight"].T, x.double() @ weights["up_proj.weight"].T
    expected = (gate / (1 + (-gate).exp()) * up) @ weights["down_proj.weight"].T
    torch.testing.assert_close(mlp(x).double(), expected, rtol=1e-5, atol=1e-5)
    mlp(x).square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in mlp.named_parameters():
        torch.testing.assert_close(parameter.grad.double(), weights[name].grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["gate_proj", "up_proj"])
def test_intermediate_size_is_the_width_of_each_inner_matrix(name: str) -> None:
    assert getattr(MLP(small_config()), name).weight.shape == (48, 32)
