"""AdamW: groups, agreement with the formula, state by name."""

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import EMBEDDING, OptimSettings, build_optimizer, optimizer_tensors, restore_optimizer
from olmo2.parallel.shards import own_part


def fill_gradients(model: Transformer, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)


def test_only_the_embedding_is_not_decayed(tiny_model: Transformer) -> None:
    optimizer = build_optimizer(tiny_model, OptimSettings(peak_lr=1e-2, weight_decay=0.5))
    before = {name: parameter.detach().clone() for name, parameter in tiny_model.named_parameters()}
    for parameter in tiny_model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # without gradients, decay is all that happens
    for name, parameter in tiny_model.named_parameters():
        expected = before[name] * (1 if name == EMBEDDING else 1 - 1e-2 * 0.5)
        torch.testing.assert_close(parameter.detach(), expected)


def test_steps_follow_the_formula(tiny_model: Transformer) -> None:
    """Loshchilov and Hutter's algorithm 2, written out for one weight."""
    settings = OptimSettings(peak_lr=1e-3)
    optimizer = build_optimizer(tiny_model, settings)
    weight = tiny_model.lm_head.weight
    expected, mean, square = weight.detach().double(), 0.0, 0.0
    for step in (1, 2, 3):
        fill_gradients(tiny_model, step)
        assert weight.grad is not None
        grad = weight.grad.double()
        mean = 0.9 * mean + 0.1 * grad
        square = 0.95 * square + 0.05 * grad**2
        update = (mean / (1 - 0.9**step)) / ((square / (1 - 0.95**step)).sqrt() + 1e-8)
        expected = expected - 1e-3 * 0.1 * expected - 1e-3 * update
        optimizer.step()
    torch.testing.assert_close(weight.detach().double(), expected, atol=1e-7, rtol=1e-5)


def test_state_by_name_restores_exactly(tiny_model: Transformer) -> None:
    settings = OptimSettings(peak_lr=1e-3)
    optimizer = build_optimizer(tiny_model, settings)
    assert optimizer_tensors(tiny_model, optimizer) == {}
    fill_gradients(tiny_model, 1)
    optimizer.step()
    tensors = {name: tensor.clone() for name, tensor in optimizer_tensors(tiny_model, optimizer).items()}
    assert len(tensors) == 2 * len(list(tiny_model.parameters())) + 1

    other = Transformer(tiny_model.config)
    other.load_state_dict(tiny_model.state_dict())
    resumed = build_optimizer(other, settings)
    restore_optimizer(other, resumed, tensors, own_part)
    for model, each in ((tiny_model, optimizer), (other, resumed)):
        fill_gradients(model, 2)
        each.step()
    for left, right in zip(tiny_model.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


def test_state_of_another_shape_is_refused(tiny_model: Transformer) -> None:
    optimizer = build_optimizer(tiny_model, OptimSettings(peak_lr=1e-3))
    with pytest.raises(UsageError, match=r"exp_avg\.model\.embed_tokens\.weight.*load a checkpoint of the same shape"):
        restore_optimizer(tiny_model, optimizer, {"step": torch.tensor(1.0)}, own_part)
