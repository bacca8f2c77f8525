"""Losses of preferences against numbers that were worked out apart from torch."""

import math

import pytest
import torch

from olmo2.loss.preference import (
    Pair,
    PreferenceKind,
    document_sums,
    implied_rewards,
    likelihood_weights,
    pairs_of,
    preference_loss,
)

POLICY = Pair(torch.tensor([-12.0, -30.5, -4.25]), torch.tensor([-14.5, -22.0, -9.0]))
REFERENCE = Pair(torch.tensor([-13.0, -29.0, -5.0]), torch.tensor([-13.5, -24.0, -8.5]))
TOKENS = Pair(torch.tensor([10.0, 20.0, 5.0]), torch.tensor([12.0, 16.0, 9.0]))
GAINS = [(1.0, -1.0), (-1.5, 2.0), (0.75, -0.5)]  # log(policy / reference) of chosen and rejected
LENGTHS = [(10, 12), (20, 16), (5, 9)]


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def by_hand(kind: PreferenceKind, beta: float, smoothing: float, margin: float) -> list[float]:
    """The formulas of the docstring with plain numbers."""
    found = []
    for number, ((chosen, rejected), (length, other_length)) in enumerate(zip(GAINS, LENGTHS, strict=True)):
        delta, averaged = chosen - rejected, chosen / length - rejected / other_length
        if kind == "simpo":
            averaged = POLICY.chosen[number].item() / length - POLICY.rejected[number].item() / other_length
        score = {"sigmoid_norm": beta * averaged, "simpo": beta * averaged - margin}.get(kind, beta * delta)
        smoothed = -(1 - smoothing) * log_sigmoid(score) - smoothing * log_sigmoid(-score)
        robust = (-(1 - smoothing) * log_sigmoid(score) + smoothing * log_sigmoid(-score)) / (1 - 2 * smoothing)
        other = {"ipo": (averaged - 1 / (2 * beta)) ** 2, "hinge": max(0.0, 1 - score), "robust": robust}
        found.append(other.get(kind, smoothed))
    return found


@pytest.mark.parametrize("kind", ["sigmoid_norm", "sigmoid", "ipo", "simpo", "hinge", "robust"])
@pytest.mark.parametrize(("beta", "smoothing", "margin"), [(5.0, 0.0, 0.0), (0.1, 0.0, 0.3), (0.5, 0.2, 1.0)])
def test_equals_the_formula(kind: PreferenceKind, beta: float, smoothing: float, margin: float) -> None:
    rewards = implied_rewards(kind, POLICY, REFERENCE, TOKENS, beta)
    found = preference_loss(kind, rewards, beta=beta, label_smoothing=smoothing, margin=margin)
    torch.testing.assert_close(found, torch.tensor(by_hand(kind, beta, smoothing, margin)), rtol=1e-6, atol=1e-6)


def test_a_policy_that_is_the_reference() -> None:
    for kind in ("sigmoid_norm", "sigmoid"):
        rewards = implied_rewards(kind, REFERENCE, REFERENCE, TOKENS, 5.0)  # type: ignore[arg-type]
        found = preference_loss(kind, rewards, beta=5.0)  # type: ignore[arg-type]
        torch.testing.assert_close(found, torch.full((3,), math.log(2)))


def test_a_reference_that_is_not_needed() -> None:
    expected = [2.0 * value / length for value, length in zip([-12.0, -30.5, -4.25], [10, 20, 5], strict=True)]
    torch.testing.assert_close(implied_rewards("simpo", POLICY, None, TOKENS, 2.0).chosen, torch.tensor(expected))
    with pytest.raises(AssertionError, match="compares with a reference"):
        implied_rewards("sigmoid", POLICY, None, TOKENS, 2.0)


def test_gradients_push_apart() -> None:
    policy = Pair(POLICY.chosen.clone().requires_grad_(), POLICY.rejected.clone().requires_grad_())
    rewards = implied_rewards("sigmoid_norm", policy, REFERENCE, TOKENS, 5.0)
    preference_loss("sigmoid_norm", rewards, beta=5.0).sum().backward()
    assert policy.chosen.grad is not None and policy.rejected.grad is not None
    assert (policy.chosen.grad < 0).all() and (policy.rejected.grad > 0).all()


def test_large_differences_stay_finite() -> None:
    far = Pair(torch.tensor([-1e5]), torch.tensor([0.0]))
    near = Pair(torch.zeros(1), torch.zeros(1))
    rewards = implied_rewards("sigmoid", far, near, Pair(torch.ones(1), torch.ones(1)), 1.0)
    found = preference_loss("sigmoid", rewards, beta=1.0)
    torch.testing.assert_close(found, torch.tensor([1e5]))


def test_weights_of_likely_pairs() -> None:
    """Hand count: e to the sum of both averages of logprob - log Σ p²."""
    collisions = Pair(torch.tensor([-8.0, -20.0, -4.0]), torch.tensor([-12.0, -16.0, -8.0]))
    policy = Pair(POLICY.chosen.clone().requires_grad_(), POLICY.rejected)
    weights = likelihood_weights(policy, collisions, TOKENS)
    expected = [math.exp(-4 / 10 - 2.5 / 12), math.exp(-10.5 / 20 - 6 / 16), math.exp(-0.25 / 5 - 1 / 9)]
    torch.testing.assert_close(weights, torch.tensor(expected))
    assert not weights.requires_grad


def test_sums_of_documents() -> None:
    """Two pairs in the first row, one and padding in the second."""
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0, 10.0, 11.0, 12.0]])
    document_ids = torch.tensor([[0, 0, 1, 2, 2, 3], [0, 1, 1, 1, -1, -1]])
    sums = document_sums(values, document_ids, 4)
    assert sums.tolist() == [[3, 3, 9, 6], [7, 27, 0, 0]]
    pairs = pairs_of(sums)
    assert pairs.chosen.tolist() == [3, 9, 7, 0] and pairs.rejected.tolist() == [3, 6, 27, 0]
    assert pairs.difference.tolist() == [0, 3, -20, 0]
