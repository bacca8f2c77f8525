"""Initial weights: their distribution, and that a seed alone determines them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from olmo2.model.init import initialise
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer
from tests.model.reference import small_config

CONFIG = replace(small_config(), hidden_size=128, intermediate_size=256, vocab_size=384, initializer_range=0.02)
DEVIATION_OF_THE_CUT_NORMAL = 0.98658  # sqrt(1 - 6·φ(3) / (2·Φ(3) - 1))


def initial_weights(seed: int, config: ModelConfig = CONFIG, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    model = Transformer(config).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)  # what is left out shows
    initialise(model, seed)
    return model.state_dict()


@pytest.mark.parametrize("deviation", [0.02, 0.5])
def test_every_matrix_is_a_cut_normal(deviation: float) -> None:
    weights = initial_weights(0, replace(CONFIG, initializer_range=deviation))
    matrices = {name: weight for name, weight in weights.items() if weight.dim() == 2}
    assert len(matrices) == 2 + 7 * 2
    for name, weight in matrices.items():
        tolerance = 5 * deviation / weight.numel() ** 0.5
        assert abs(weight.mean()) < tolerance, name
        assert weight.std() == pytest.approx(deviation * DEVIATION_OF_THE_CUT_NORMAL, abs=tolerance), name
        assert weight.abs().max() <= 3 * deviation, name
    assert max(weight.abs().max() for weight in matrices.values()) > 2.9 * deviation


def test_the_head_of_a_reward_model_is_a_whole_normal_of_its_own_width() -> None:
    config = replace(CONFIG, hidden_size=4096, intermediate_size=8, vocab_size=8, num_hidden_layers=1, head="reward")
    weights = initial_weights(0, config)
    assert weights["score.weight"].shape == (1, 4096)
    scaled = weights["score.weight"] * 4097**0.5
    assert abs(scaled.mean()) < 5 / 4096**0.5 and scaled.std() == pytest.approx(1, abs=5 / 8192**0.5)
    assert scaled.abs().max() > 3, "not cut"
    language_model = initial_weights(0, replace(config, head="language_model"))
    assert all(torch.equal(weights[name], language_model[name]) for name in weights if name != "score.weight")


def test_norms_are_one() -> None:
    norms = {name: weight for name, weight in initial_weights(0).items() if weight.dim() == 1}
    assert len(norms) == 1 + 4 * 2
    assert all((weight == 1).all() for weight in norms.values())


def test_the_seed_alone_decides() -> None:
    first, again, other = initial_weights(1), initial_weights(1), initial_weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if first[name].dim() == 2)


def test_the_global_random_stream_is_neither_read_nor_moved() -> None:
    before = torch.random.get_rng_state()
    first = initial_weights(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        again = initial_weights(1)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_no_two_matrices_are_equal() -> None:
    weights = initial_weights(0)
    layers = [weights[f"model.layers.{layer}.mlp.gate_proj.weight"] for layer in range(2)]
    assert not torch.equal(*layers)
    assert not torch.equal(weights["model.embed_tokens.weight"], weights["lm_head.weight"])


def test_another_dtype_is_the_same_draw_rounded() -> None:
    precise, rounded = initial_weights(3), initial_weights(3, dtype=torch.bfloat16)
    assert all(torch.equal(precise[name].bfloat16(), rounded[name]) for name in precise)
