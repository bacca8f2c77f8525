"""Parameter counts and operations against the published figures."""

from dataclasses import replace

import pytest
import torch

from olmo2.model.flops import num_parameters, total_train_flops, train_flops_per_token
from olmo2.model.sizes import SIZES
from olmo2.model.transformer import Transformer

PUBLISHED = {  # all parameters, without the input table, without the output matrix too
    "olmo2-1b": (1_484_916_736, 1_279_395_840, 1_073_874_944),
    "olmo2-7b": (7_298_617_344, 6_887_575_552, 6_476_533_760),
    "olmo2-13b": (13_716_198_400, 13_202_396_160, 12_688_593_920),
    "olmo2-32b": (32_234_279_936, 31_720_477_696, 31_206_675_456),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_counts_are_the_published_ones(size: str) -> None:
    config = SIZES[size]
    counts = (
        num_parameters(config),
        num_parameters(config, has_embedding=False),
        num_parameters(config, has_embedding=False, has_lm_head=False),
    )
    assert counts == PUBLISHED[size]
    assert num_parameters(config, has_lm_head=False) == PUBLISHED[size][1], "both tables have one shape"


@pytest.mark.parametrize("size", SIZES)
def test_counts_are_those_of_the_model_as_built(size: str) -> None:
    with torch.device("meta"):
        model = Transformer(SIZES[size])
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters(SIZES[size])


def test_a_reward_model_has_one_row_for_its_output() -> None:
    config = replace(SIZES["olmo2-7b"], head="reward")
    with torch.device("meta"):
        model = Transformer(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters(config)
    assert num_parameters(config) == PUBLISHED["olmo2-7b"][0] - 100_351 * 4096
    assert train_flops_per_token(config, 4096) == 6 * (6_476_533_760 + 4096) + 12 * 32 * 4096 * 4096


@pytest.mark.parametrize(
    ("size", "flops", "published"),
    [
        ("olmo2-1b", 6 * 1_279_395_840 + 12 * 16 * 2048 * 4096, 9.287e9),
        ("olmo2-7b", 6 * 6_887_575_552 + 12 * 32 * 4096 * 4096, 4.777e10),
        ("olmo2-13b", 6 * 13_202_396_160 + 12 * 40 * 5120 * 4096, 8.928e10),
        ("olmo2-32b", 6 * 31_720_477_696 + 12 * 64 * 5120 * 4096, 2.064e11),
    ],
)
def test_operations_of_a_token_of_4096(size: str, flops: int, published: float) -> None:
    assert train_flops_per_token(SIZES[size], 4096) == flops
    assert flops == pytest.approx(published, rel=5e-4)


@pytest.mark.parametrize(
    ("size", "total_tokens", "published"),
    [
        ("olmo2-7b", 928_646 * 4_194_304 + 3 * 50_000_000_000, 1.771e23),
        ("olmo2-13b", 5_600_000_000_000, 4.609e23),
    ],
)
def test_operations_of_the_published_runs(size: str, total_tokens: int, published: float) -> None:
    assert total_train_flops(SIZES[size], total_tokens) == pytest.approx(published, rel=5e-4)
