"""Recomputing activations: the same gradients to the bit, and fewer tensors kept."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from olmo2.model.transformer import Transformer
from olmo2.parallel.mesh import Recompute
from olmo2.parallel.recompute import recompute_activations

INPUT_IDS = torch.randint(512, (2, 16), generator=torch.Generator().manual_seed(0))


def gradients_and_kept_bytes(model: Transformer) -> tuple[list[Tensor], int]:
    """Gradients of a training step, and the bytes of activations that autograd keeps for it."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = model(INPUT_IDS).square().mean()
    return list(torch.autograd.grad(loss, list(model.parameters()))), sum(kept.values())


@pytest.mark.parametrize("choice", ["mlp", "alternate", "all"])
def test_gradients_stay_and_memory_falls(tiny_model: Transformer, choice: Recompute) -> None:
    other = copy.deepcopy(tiny_model)
    recompute_activations(other, choice)
    expected, all_bytes = gradients_and_kept_bytes(tiny_model)
    found, kept_bytes = gradients_and_kept_bytes(other)
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))
    assert kept_bytes < 0.9 * all_bytes


def test_each_choice_keeps_less_than_the_one_before(tiny_model: Transformer) -> None:
    sizes = []
    choices: tuple[Any, ...] = ("none", "alternate", "all")
    for choice in choices:
        model = copy.deepcopy(tiny_model)
        recompute_activations(model, choice)
        sizes.append(gradients_and_kept_bytes(model)[1])
    assert sizes[0] > sizes[1] > sizes[2]


def test_evaluation_is_untouched(tiny_model: Transformer) -> None:
    with torch.no_grad():
        expected = tiny_model(INPUT_IDS)
        recompute_activations(tiny_model, "all")
        assert torch.equal(tiny_model(INPUT_IDS), expected)


def test_names_stay(tiny_model: Transformer) -> None:
    before = [name for name, _ in tiny_model.named_parameters()]
    recompute_activations(tiny_model, "all")
    assert [name for name, _ in tiny_model.named_parameters()] == before
