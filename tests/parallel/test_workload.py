"""A device's share of a model and of a batch, against the model as built and cut by torch."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.model.sizes import SIZES, HeadKind, ModelConfig
from olmo2.model.transformer import Transformer
from olmo2.parallel.mesh import ParallelSettings, grid_for
from olmo2.parallel.workload import Workload

SHAPE = ModelConfig(
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=130,
)


def workload(devices: int = 1, config: ModelConfig = SHAPE, **settings: Any) -> Workload:
    """A micro-batch of two sequences of 32."""
    parallel = ParallelSettings(**settings)
    grid = grid_for(parallel, devices)
    return Workload(
        config=config,
        grid=grid,
        parallel=parallel,
        seq_len=32,
        micro_batch_sequences=2,
        step_sequences=8,
        dtype_bytes=4,
    )


@pytest.mark.parametrize("size", ["olmo2-6m", "olmo2-32b"])
def test_one_device_has_every_parameter(size: str) -> None:
    with torch.device("meta"):
        model = Transformer(SIZES[size])
    assert workload(config=SIZES[size]).local_parameters == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("head", ["language_model", "reward"])
@pytest.mark.parametrize("ranks", [2, 3, 7, 64])
def test_sharding_cuts_every_tensor_by_rows(ranks: int, head: HeadKind) -> None:
    config = replace(SHAPE, head=head)
    with torch.device("meta"):
        weights = [weight.chunk(ranks)[0] for weight in Transformer(config).parameters()]
    assert workload(ranks, config).local_parameters == sum(weight.numel() for weight in weights)
    assert workload(2 * ranks, config, shard=ranks).local_parameters == workload(ranks, config).local_parameters


def test_a_tensor_group_shares_the_blocks_and_not_the_tables() -> None:
    with torch.device("meta"):
        model = Transformer(SHAPE)
    whole = [*model.model.embed_tokens.parameters(), *model.lm_head.parameters(), *model.model.norm.parameters()]
    for block in model.model.layers:
        whole += [*block.post_attention_layernorm.parameters(), *block.post_feedforward_layernorm.parameters()]
    num_whole = sum(weight.numel() for weight in whole)
    num_all = sum(weight.numel() for weight in model.parameters())
    assert workload(2, tensor=2, shard=1).local_parameters == num_whole + (num_all - num_whole) // 2


def test_positions() -> None:
    assert (workload().positions, workload().own_positions, workload().num_micro_batches) == (64, 64, 4)
    both = workload(8, tensor=2, context=2)
    assert (both.positions, both.own_positions, both.shard_ranks) == (32, 16, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tensor": 4}, "parallel.tensor 4 must divide the model's num_key_value_heads 2"),
        ({"context": 32}, "data.seq_len 32 must be a multiple of 64"),
    ],
)
def test_shares_must_be_even(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        workload(32, **settings)


@pytest.mark.parametrize("settings", [{"tensor": 2}, {"context": 2}])
def test_a_reward_model_has_whole_sequences(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"parallel\.context and parallel\.tensor .* reward model: set both to 1"):
        workload(2, replace(SHAPE, head="reward"), **settings)


def test_attention_keeps_numerators_on_cpus_alone() -> None:
    assert not workload().has_attention_in_blocks
    assert replace(workload(), is_cpu=True).has_attention_in_blocks
    assert not replace(workload(), is_cpu=True, seq_len=4096).has_attention_in_blocks
