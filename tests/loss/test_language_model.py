"""The chunked loss against one that keeps all logits, in float64."""

from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from olmo2.loss import language_model
from olmo2.loss.language_model import fusible_loss_and_gradient, language_model_loss

NUM_ROWS, SEQ_LEN, WIDTH, VOCABULARY = 3, 7, 8, 50
IGNORED = torch.tensor([[0, 1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]], dtype=torch.bool)


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states (3, 7, 8), output matrix (50, 8) in float32, labels (3, 7)."""
    generator = torch.Generator().manual_seed(0)
    hidden = (3 * torch.randn(NUM_ROWS, SEQ_LEN, WIDTH, generator=generator)).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator).requires_grad_()
    return hidden, weight, torch.randint(VOCABULARY, (NUM_ROWS, SEQ_LEN), generator=generator)


def slow_loss(hidden: Tensor, weight: Tensor, labels: Tensor, z_loss_weight: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy + z-loss, and cross-entropy alone, summed over labelled positions, in float64."""
    logits = (hidden.double() @ weight.double().T).flatten(0, 1)
    cross_entropy = F.cross_entropy(logits, labels.flatten(), ignore_index=-100, reduction="sum")
    log_normaliser = torch.logsumexp(logits, dim=-1)[labels.flatten() != -100]
    return cross_entropy + z_loss_weight * log_normaliser.square().sum(), cross_entropy


@pytest.mark.parametrize("chunk_rows", [1, 4, 21, 1024])
@pytest.mark.parametrize("cached_logits", [1, 3 * VOCABULARY, 2**19])
@pytest.mark.parametrize("z_loss_weight", [0.0, 1e-4, 0.1])
@pytest.mark.parametrize("has_ignored", [False, True])
def test_values_and_gradients(chunk_rows: int, cached_logits: int, z_loss_weight: float, has_ignored: bool) -> None:
    hidden, weight, labels = inputs()
    if has_ignored:
        labels[IGNORED] = -100
    with (
        patch.object(language_model, "CHUNK_ROWS", chunk_rows),
        patch.object(language_model, "CACHED_LOGITS", cached_logits),
    ):
        sums = language_model_loss(hidden, weight, labels, z_loss_weight=z_loss_weight)
    total, cross_entropy = slow_loss(hidden, weight, labels, z_loss_weight)
    torch.testing.assert_close(sums.total.double(), total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.cross_entropy.double(), cross_entropy, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(sums.total / 21, (hidden, weight))
    for ours, slow in zip(gradients, torch.autograd.grad(total / 21, (hidden, weight)), strict=True):
        torch.testing.assert_close(ours, slow.float(), rtol=1e-4, atol=1e-6)


def test_cross_entropy_carries_no_gradient() -> None:
    sums = language_model_loss(*inputs())
    assert sums.total.requires_grad
    assert not sums.cross_entropy.requires_grad


def test_no_target_at_all_is_zero_with_zero_gradients() -> None:
    hidden, weight, labels = inputs()
    sums = language_model_loss(hidden, weight, torch.full_like(labels, -100), z_loss_weight=1e-4)
    assert sums.total.item() == sums.cross_entropy.item() == 0
    sums.total.backward()
    for tensor in (hidden, weight):
        assert tensor.grad is not None
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_ignored_positions_get_no_gradient() -> None:
    hidden, weight, labels = inputs()
    labels[IGNORED] = -100
    language_model_loss(hidden, weight, labels).total.backward()
    assert hidden.grad is not None
    assert (hidden.grad[IGNORED] == 0).all()
    assert (hidden.grad[~IGNORED] != 0).any(dim=-1).all()


def test_values_without_gradients() -> None:
    hidden, weight, labels = inputs()
    with torch.no_grad():
        sums = language_model_loss(hidden, weight, labels, z_loss_weight=1e-4)
    torch.testing.assert_close(sums.total.double(), slow_loss(hidden, weight, labels, 1e-4)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    tensors = inputs()
    tensors[frozen].requires_grad_(False)
    language_model_loss(*tensors).total.backward()
    assert tensors[frozen].grad is None
    assert tensors[1 - frozen].grad is not None


def test_bfloat16_errs_by_the_rounding_of_logits_and_gradients() -> None:
    hidden, weight, labels = inputs(torch.bfloat16)
    sums = language_model_loss(hidden, weight, labels, z_loss_weight=1e-4)
    assert sums.total.dtype == torch.float32
    total, _ = slow_loss(hidden, weight, labels, 1e-4)
    assert sums.total.item() == pytest.approx(total.item(), rel=5e-3)
    gradients = torch.autograd.grad(sums.total, (hidden, weight))
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16, torch.float32]
    for ours, slow in zip(gradients, torch.autograd.grad(total, (hidden, weight)), strict=True):
        assert (ours.double() - slow.double()).norm() < 0.02 * slow.double().norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [1, -1])
def test_huge_logits_overflow_nowhere(dtype: torch.dtype, sign: int) -> None:
    hidden, weight, labels = inputs()
    hidden = (sign * 1e4 * hidden.detach()).to(dtype).requires_grad_()
    sums = language_model_loss(hidden, weight, labels, z_loss_weight=1e-4)
    total, cross_entropy = slow_loss(hidden, weight, labels, 1e-4)
    tolerance = 1e-5 if dtype == torch.float32 else 2**-7
    assert sums.total.item() == pytest.approx(total.item(), rel=tolerance)
    assert sums.cross_entropy.item() == pytest.approx(cross_entropy.item(), rel=tolerance)
    sums.total.backward()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in (hidden, weight))


@pytest.mark.parametrize("label", [0, VOCABULARY - 1])
def test_a_certain_prediction_costs_nothing_and_a_wrong_one_its_logit(label: int) -> None:
    """One logit of 10,000 and the rest 0: the cross-entropy is 0 for its label and 10,000 for any other."""
    hidden, weight = torch.full((1, 1, 1), 1e4), torch.zeros(VOCABULARY, 1)
    weight[label] = 1
    for target, expected in ((label, 0.0), (7, 1e4)):
        sums = language_model_loss(hidden, weight, torch.tensor([[target]]), z_loss_weight=1e-4)
        assert sums.cross_entropy.item() == expected
        assert sums.total.item() == pytest.approx(expected + 1e-4 * 1e8)


@pytest.mark.parametrize("factor", [0.0, 1.0, -2.5, 1 / 3])
def test_gradients_follow_the_factor_behind_the_loss(factor: float) -> None:
    tensors = inputs()
    ours = torch.autograd.grad(language_model_loss(*tensors, z_loss_weight=0.1).total * factor, tensors[:2])
    for mine, slow in zip(ours, torch.autograd.grad(slow_loss(*tensors, 0.1)[0] * factor, tensors[:2]), strict=True):
        torch.testing.assert_close(mine, slow.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1 / 3, 0.7 / 123])
def test_the_factor_is_not_rounded_to_bfloat16(factor: float) -> None:
    """A rounded factor would make every gradient of the hidden states too long, or too short, by up to 0.4 percent."""
    hidden, weight, labels = inputs(torch.bfloat16)
    (once,) = torch.autograd.grad(language_model_loss(hidden, weight, labels).total, hidden)
    (scaled,) = torch.autograd.grad(language_model_loss(hidden, weight, labels).total * factor, hidden)
    once, scaled = once.double(), scaled.double()
    assert (once * scaled).sum() / once.square().sum() == pytest.approx(factor, rel=1e-3)


def test_hidden_states_may_be_a_part_of_a_larger_tensor() -> None:
    hidden, weight, labels = inputs()
    part, part_labels = hidden[:, 1:-1], labels[:, 1:-1]
    ours = torch.autograd.grad(language_model_loss(part, weight, part_labels).total, (hidden, weight))
    slow = torch.autograd.grad(slow_loss(part, weight, part_labels, 0.0)[0], (hidden, weight))
    for mine, expected in zip(ours, slow, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_the_same_with_transformers_loss() -> None:
    loss_utils = pytest.importorskip("transformers.loss.loss_utils")
    hidden, weight, labels = inputs()
    labels[IGNORED] = -100
    logits = hidden @ weight.T
    theirs = loss_utils.ForCausalLMLoss(logits, None, VOCABULARY, shift_labels=labels)
    ours = language_model_loss(hidden, weight, labels).total / (labels != -100).sum()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("z_loss_weight", [0.0, 0.1])
def test_the_loss_made_for_compilers_equals_the_slow_one(z_loss_weight: float) -> None:
    hidden, weight, labels = inputs()
    labels[IGNORED] = -100
    total, cross_entropy = slow_loss(hidden, weight, labels, z_loss_weight)
    with patch.object(language_model, "CHUNK_ROWS", 4):
        sums = language_model_loss(
            hidden, weight, labels, z_loss_weight=z_loss_weight, chunk_loss=fusible_loss_and_gradient
        )
    torch.testing.assert_close(sums.total.double(), total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.cross_entropy.double(), cross_entropy, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(sums.total, (hidden, weight))
    for ours, slow in zip(gradients, torch.autograd.grad(total, (hidden, weight)), strict=True):
        torch.testing.assert_close(ours, slow.float(), rtol=1e-4, atol=1e-5)
