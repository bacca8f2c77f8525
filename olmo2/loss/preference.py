"""Losses of preferences: how much likelier the policy makes what was chosen than what was rejected.

Shapes   P pairs
Units    nats, summed over the tokens of a response; an average is over its tokens

Sources  sigmoid: arXiv 2305.18290 (DPO), equation 7 · sigmoid_norm: OLMo 2 (arXiv 2501.00656), section 5, as Tulu 3
         ran it · ipo: arXiv 2310.12036, equation 17, by tokens · simpo: arXiv 2405.14734, equation 6 · hinge:
         arXiv 2305.10425 (SLiC) · robust: arXiv 2403.00409, equation 3.3 · weights: arXiv 2406.11827 (WPO), equation 2
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PreferenceKind = Literal["sigmoid_norm", "sigmoid", "ipo", "simpo", "hinge", "robust"]
REFERENCE_FREE: frozenset[str] = frozenset({"simpo"})


class Pair(NamedTuple):
    """A number of every pair's two responses."""

    chosen: Tensor  # (P,)
    rejected: Tensor  # (P,)

    @property
    def difference(self) -> Tensor:
        """How much larger it is for what was chosen, (P,)."""
        return self.chosen - self.rejected


def preference_loss(
    kind: PreferenceKind,
    policy: Pair,  # log-probabilities of whole responses
    reference: Pair | None,  # the same by the reference model; None where a kind needs none
    num_tokens: Pair,  # of the responses
    *,
    beta: float,
    label_smoothing: float = 0.0,  # share of pairs that are taken to be the wrong way round
    margin: float = 0.0,  # of simpo: by how much β · difference of the averages should exceed 0
) -> Tensor:
    """Return the loss of every pair, (P,).

    With Δ the difference of log(policy / reference), and Δ̄ that of its averages over tokens:

        sigmoid_norm   -(1 - s) · logσ(β·Δ̄) - s · logσ(-β·Δ̄)
        sigmoid        the same of Δ
        robust         (-(1 - s) · logσ(β·Δ) + s · logσ(-β·Δ)) / (1 - 2·s)
        hinge          max(0, 1 - β·Δ)
        ipo            (Δ̄ - 1 / (2·β))²
        simpo          -(1 - s) · logσ(β·Δ̄ - margin) - s · logσ(margin - β·Δ̄), without a reference
    """
    gains = policy if kind in REFERENCE_FREE else gained(policy, reference)
    averages = Pair(gains.chosen / num_tokens.chosen.clamp(min=1), gains.rejected / num_tokens.rejected.clamp(min=1))
    if kind == "sigmoid_norm":
        return smoothed_sigmoid(beta * averages.difference, label_smoothing)
    if kind == "simpo":
        return smoothed_sigmoid(beta * averages.difference - margin, label_smoothing)
    if kind == "ipo":
        return (averages.difference - 1 / (2 * beta)).square()
    scores = beta * gains.difference
    if kind == "hinge":
        return F.relu(1 - scores)
    if kind == "robust":
        clean, flipped = -F.logsigmoid(scores), -F.logsigmoid(-scores)
        return ((1 - label_smoothing) * clean - label_smoothing * flipped) / (1 - 2 * label_smoothing)
    return smoothed_sigmoid(scores, label_smoothing)


def gained(policy: Pair, reference: Pair | None) -> Pair:
    """Return log(policy / reference) of the responses."""
    assert reference is not None, "this kind of loss compares with a reference"
    return Pair(policy.chosen - reference.chosen, policy.rejected - reference.rejected)


def smoothed_sigmoid(scores: Tensor, label_smoothing: float) -> Tensor:
    """Return -logσ(scores), of which a share is that of the opposite label."""
    return -(1 - label_smoothing) * F.logsigmoid(scores) - label_smoothing * F.logsigmoid(-scores)


def likelihood_weights(policy: Pair, collisions: Pair, num_tokens: Pair) -> Tensor:
    """Return how likely the policy itself would write both responses of a pair, (P,), without gradient.

    Each response counts with e to the mean over tokens of logprob - log Σ p², at which a policy that always wrote
    its own words would stand at 1 on average: pairs that it would not write count less.
    """
    with torch.no_grad():
        chosen = (policy.chosen - collisions.chosen) / num_tokens.chosen.clamp(min=1)
        rejected = (policy.rejected - collisions.rejected) / num_tokens.rejected.clamp(min=1)
        return (chosen + rejected).exp()
