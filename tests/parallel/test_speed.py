"""Predicted speeds against those that Ai2 published for OLMo 2 on H100s, and parts of a step against arithmetic."""

from dataclasses import replace
from typing import Any

import pytest

from olmo2.model.flops import train_flops_per_token
from olmo2.model.sizes import SIZES, ModelConfig
from olmo2.parallel.hardware import GPUS, Hardware
from olmo2.parallel.mesh import ParallelSettings, grid_for
from olmo2.parallel.speed import StepTime, collective_seconds, step_time
from olmo2.parallel.workload import Workload

H100 = GPUS["h100"]
AUGUSTA = replace(H100, network_bandwidth=25e9)  # Google Cloud A3 Mega: 200 Gb/s for each of a machine's eight H100s
ONE_B_OF_18 = replace(SIZES["olmo2-1b"], num_hidden_layers=18)  # OLMo-core's olmo2_1B, whose speed was published


def workload(config: ModelConfig, devices: int, *, micro: int, **settings: Any) -> Workload:
    """Two micro-batches of sequences of 4,096 in bfloat16."""
    parallel = ParallelSettings(**settings)
    return Workload(
        config=config,
        grid=grid_for(parallel, devices),
        parallel=parallel,
        seq_len=4096,
        micro_batch_sequences=micro,
        step_sequences=2 * micro,
        dtype_bytes=2,
    )


def tokens_per_second(work: Workload, hardware: Hardware) -> float:
    """Tokens a second of one device."""
    return work.own_positions * work.num_micro_batches / step_time(work, hardware).total


# Speeds: OLMo-core's README at v1.8.0; 32B: allenai.org/blog/olmo2-32B ("over 1,800"). Settings: OLMo-core's training
# scripts (hybrid sharding within a machine, micro-batches), and those of the 32B run on 128 machines.
PUBLISHED = [
    (ONE_B_OF_18, H100, 128, {"micro": 8, "shard": 8}, 55_000),
    (ONE_B_OF_18, H100, 128, {"micro": 8, "shard": 8, "float8": True}, 65_000),
    (SIZES["olmo2-7b"], H100, 128, {"micro": 2, "shard": 8}, 10_000),
    (SIZES["olmo2-7b"], H100, 128, {"micro": 2, "shard": 8, "float8": True}, 13_000),
    (SIZES["olmo2-13b"], H100, 128, {"micro": 1, "shard": 8}, 4_600),
    (SIZES["olmo2-13b"], H100, 128, {"micro": 1, "shard": 8, "float8": True}, 5_500),
    (SIZES["olmo2-32b"], AUGUSTA, 1024, {"micro": 2, "shard": 64, "recompute": "mlp"}, 1_800),
    (SIZES["olmo2-32b"], AUGUSTA, 512, {"micro": 4, "shard": 64, "recompute": "all"}, 1_800),
]


@pytest.mark.parametrize(("config", "hardware", "devices", "settings", "published"), PUBLISHED)
def test_published_speeds(
    config: ModelConfig, hardware: Hardware, devices: int, settings: dict[str, Any], published: int
) -> None:
    assert tokens_per_second(workload(config, devices, **settings), hardware) == pytest.approx(published, rel=0.15)


def test_no_speed_exceeds_the_peak() -> None:
    for size in ("olmo2-1b", "olmo2-7b", "olmo2-13b", "olmo2-32b"):
        for gpu in GPUS.values():
            flops = tokens_per_second(workload(SIZES[size], 8, micro=2), gpu) * train_flops_per_token(SIZES[size], 4096)
            assert flops < 0.85 * gpu.bf16_peak


def test_products_are_six_operations_a_weight() -> None:
    config = SIZES["olmo2-1b"]
    weights = 16 * (4 * 2048**2 + 3 * 2048 * 8192) + 100_352 * 2048
    seconds = step_time(workload(config, 1, micro=1), H100).products
    assert seconds == pytest.approx(2 * 4096 * 6 * weights / (0.85 * 794.5e12))


def parts(**settings: Any) -> StepTime:
    """A step of the 7B on 64 H100s."""
    return step_time(workload(SIZES["olmo2-7b"], 64, micro=2, **settings), H100)


def test_what_costs_what() -> None:
    base = parts()
    assert parts(recompute="all").products == pytest.approx(base.products * 8 / 6, rel=0.03)  # the output matrix is not
    assert base.products < parts(recompute="mlp").products < parts(recompute="all").products
    assert parts(recompute="alternate").attention == pytest.approx(base.attention * 8 / 7)
    assert parts(float8=True).products < base.products
    assert parts(reshard=False).communication < base.communication
    assert parts(tensor=8).communication > base.communication
    assert base.optimizer < parts(tensor=2).optimizer < 1.2 * base.optimizer  # the tables are not shared
    assert step_time(workload(SIZES["olmo2-7b"], 1, micro=2), H100).communication == 0
    assert sum(base.parts.values()) == base.total


def test_collectives() -> None:
    assert collective_seconds(360e9, 1, inner=1, hardware=H100) == 0
    assert collective_seconds(360e9, 8, inner=1, hardware=H100) == pytest.approx(7 / 8)  # 450 GB/s, 80% reached
    # Across machines all eight network cards work for a group that fills its machines, one for a group of one in each.
    assert collective_seconds(320e9, 16, inner=1, hardware=H100) == pytest.approx(15 / 16)
    assert collective_seconds(40e9, 16, inner=8, hardware=H100) == pytest.approx(15 / 16)
