"""The next token: greedy, and distributions cut as asked."""

import pytest
import torch
from pydantic import ValidationError

from olmo2.inference.sampling import SamplingSettings, choose_tokens

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
DRAWS = 4000


def frequencies(**settings: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    tokens = choose_tokens(LOGITS.expand(DRAWS, -1), SamplingSettings.model_validate(settings), generator)
    return torch.bincount(tokens, minlength=4) / DRAWS


def test_temperature_zero_is_greedy() -> None:
    assert frequencies(temperature=0).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    expected = (LOGITS[0] / temperature).softmax(0)
    torch.testing.assert_close(frequencies(temperature=temperature), expected, atol=0.03, rtol=0)


def test_top_k_renormalises_the_kept() -> None:
    expected = torch.tensor([2.0, 1.0]).softmax(0)
    found = frequencies(temperature=1, top_k=2)
    assert found[2:].tolist() == [0, 0]
    torch.testing.assert_close(found[:2], expected, atol=0.03, rtol=0)


@pytest.mark.parametrize(("top_p", "kept"), [(0.1, 1), (0.65, 2), (0.9, 3), (1.0, 4)])
def test_top_p_keeps_the_smallest_likely_set(top_p: float, kept: int) -> None:
    """Softmax of the logits is 0.644, 0.237, 0.087, 0.032."""
    assert int((frequencies(temperature=1, top_p=top_p) > 0).sum()) == kept


def test_same_seed_same_draws() -> None:
    settings = SamplingSettings(temperature=1.0)
    first, second = (choose_tokens(LOGITS.expand(50, -1), settings, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"temperature": float("nan")}, {"top_k": 0}, {"top_p": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SamplingSettings.model_validate(wrong)
