"""Parts of a device's memory against arithmetic by hand and against peaks measured with bench/memory.py."""

from typing import Any

import pytest

from olmo2.model.flops import num_parameters
from olmo2.model.lora import LoraSettings
from olmo2.model.sizes import SIZES, ModelConfig, model_config
from olmo2.parallel.hardware import GPUS
from olmo2.parallel.memory import Memory, compute_weights, moments, peak_memory
from olmo2.parallel.mesh import ParallelSettings, grid_for
from olmo2.parallel.workload import Workload


def workload(config: ModelConfig, devices: int = 1, *, micro: int = 1, steps: int = 1, **changes: Any) -> Workload:
    """Sequences of 4,096 in bfloat16 on GPUs unless changed; settings of the grid go into `parallel`."""
    names = ParallelSettings.model_fields
    parallel = ParallelSettings(**{name: changes.pop(name) for name in list(changes) if name in names})
    given: dict[str, Any] = {"seq_len": 4096, "dtype_bytes": 2}
    return Workload(
        config=config,
        grid=grid_for(parallel, devices),
        parallel=parallel,
        micro_batch_sequences=micro,
        step_sequences=micro * steps,
        **(given | changes),
    )


def moment(work: Workload, name: str) -> Memory:
    """One moment of a step."""
    return next(memory for memory in moments(work) if memory.moment == name)


def test_weights_gradients_and_moments_of_the_1b() -> None:
    step = moment(workload(SIZES["olmo2-1b"]), "optimizer step")
    parameters = 1_484_916_736  # published
    assert (step.parameters, step.gradients, step.optimizer) == (4 * parameters, 4 * parameters, 8 * parameters)
    assert step.total == pytest.approx(24e9, rel=0.02), "16 bytes a parameter"
    lean = moment(workload(SIZES["olmo2-1b"], state_bytes=2), "optimizer step")
    assert lean.optimizer == 4 * parameters
    assert lean.working == 2 * 4 * 100_352 * 2048  # two float32 copies of moments of the largest weight


def test_sharding_divides_what_is_kept() -> None:
    work = workload(SIZES["olmo2-7b"], 64)
    step = moment(work, "optimizer step")
    assert step.total == pytest.approx(16 * num_parameters(SIZES["olmo2-7b"]) / 64, rel=1e-4)
    assert moment(workload(SIZES["olmo2-7b"], 64, shard=8), "optimizer step").total == pytest.approx(8 * step.total)


def test_gathered_weights() -> None:
    config = SIZES["olmo2-7b"]
    block = 4 * 4096**2 + 3 * 4096 * 11_008
    tables = 2 * 100_352 * 4096
    assert compute_weights(workload(config, 8)) == 2 * (tables + 2 * block)
    assert compute_weights(workload(config, 8, reshard=False)) == 2 * (tables + 32 * block)
    assert compute_weights(workload(config, 8, tensor=2)) == 2 * (tables + block)
    assert compute_weights(workload(config, 1)) == 2 * 32 * block
    assert compute_weights(workload(config, 1, recompute="alternate")) == 32 * block
    assert compute_weights(workload(config, 1, dtype_bytes=4)) == 0


def test_gradients_are_there_before_the_last_micro_batch() -> None:
    config = SIZES["olmo2-1b"]
    assert moment(workload(config), "loss").gradients == 0
    assert moment(workload(config, steps=2), "loss").gradients == 4 * num_parameters(config)


def test_logits_of_a_chunk() -> None:
    logits, table = 4096 * 100_352, 100_352 * 2048
    one_chunk = workload(SIZES["olmo2-1b"], dtype_bytes=4, is_compiled=False)
    # logits and their gradient, their probabilities, and the gradient of the output matrix, all float32
    assert moment(one_chunk, "loss").logits == 4 * (3 * logits + table)
    assert moment(one_chunk, "backward of the loss").logits == 2 * 4 * table
    chunks = workload(SIZES["olmo2-1b"], micro=2, dtype_bytes=4, is_compiled=False)
    assert moment(chunks, "loss").logits == 4 * (3 * logits + table), "one chunk at a time"
    compiled = workload(SIZES["olmo2-1b"], micro=2, dtype_bytes=4)  # no probabilities, but the matrix's gradient twice
    assert moment(compiled, "loss").logits == 4 * (2 * logits + table)


@pytest.mark.parametrize("policy", ["mlp", "alternate", "all"])
def test_every_way_to_save_memory_saves_some(policy: str) -> None:
    config = SIZES["olmo2-7b"]
    base = peak_memory(workload(config, 64, micro=4)).total
    assert peak_memory(workload(config, 64, micro=4, recompute=policy)).total < base
    assert peak_memory(workload(config, 64, micro=2)).total < base
    assert peak_memory(workload(config, 64, micro=4, tensor=2)).total < base
    assert peak_memory(workload(config, 64, micro=4, context=2)).total < base


def test_the_published_runs_fit_into_an_h100() -> None:
    h100 = GPUS["h100"]  # sizes of micro-batches and recomputation as in the published scripts of the runs
    for size, devices, micro, settings in (
        ("olmo2-1b", 128, 4, {"shard": 8}),
        ("olmo2-7b", 512, 2, {"shard": 8}),
        ("olmo2-13b", 256, 2, {"shard": 8, "recompute": "alternate"}),
        ("olmo2-32b", 512, 4, {"shard": 64, "recompute": "all"}),
        ("olmo2-32b", 1024, 2, {"shard": 64, "recompute": "mlp"}),
    ):
        peak = peak_memory(workload(SIZES[size], devices, micro=micro, **settings), h100)
        assert 20e9 < peak.total < h100.memory_bytes, size
        assert peak.runtime == h100.runtime_bytes


MEASURED = [  # size, vocabulary, rows of a step, rows of a forward, seq_len, bytes: docs/benchmarks.md
    ("olmo2-1m", 8192, 8, 8, 256, 265e6),
    ("olmo2-6m", 8192, 8, 8, 512, 1_129e6),
    ("olmo2-6m", 8192, 8, 4, 512, 710e6),
    ("olmo2-34m", 8192, 8, 8, 512, 3_043e6),
    ("olmo2-34m", 8192, 2, 1, 2048, 2_489e6),
    ("olmo2-113m", 32_768, 4, 4, 256, 3_671e6),
    ("olmo2-268m", 65_536, 1, 1, 512, 6_721e6),
    ("olmo2-268m", 65_536, 4, 2, 256, 8_298e6),
]


@pytest.mark.parametrize(("size", "vocab_size", "rows", "micro", "seq_len", "measured"), MEASURED)
def test_peaks_measured_here(size: str, vocab_size: int, rows: int, micro: int, seq_len: int, measured: float) -> None:
    work = workload(
        model_config(size, vocab_size=vocab_size),
        micro=micro,
        steps=rows // micro,
        seq_len=seq_len,
        dtype_bytes=4,
        is_compiled=False,
        is_cpu=True,
    )
    assert peak_memory(work).total == pytest.approx(measured, rel=0.02)


MEASURED_WITH_ADAPTERS = [  # size, rows of a step, rows of a forward, rank, bytes of a number, recompute, bytes
    ("olmo2-6m", 8, 8, 8, 4, "none", 941e6),
    ("olmo2-6m", 8, 4, 64, 4, "none", 581e6),
    ("olmo2-6m", 8, 8, 8, 2, "none", 530e6),
    ("olmo2-6m", 8, 8, 64, 2, "none", 577e6),
    ("olmo2-6m", 8, 8, 8, 4, "all", 235e6),
    ("olmo2-34m", 8, 8, 64, 4, "none", 2545e6),
    ("olmo2-34m", 2, 2, 8, 2, "none", 442e6),
]


@pytest.mark.parametrize(
    ("size", "rows", "micro", "rank", "dtype_bytes", "recompute", "measured"), MEASURED_WITH_ADAPTERS
)
def test_peaks_with_adapters_measured_here(
    size: str, rows: int, micro: int, rank: int, dtype_bytes: int, recompute: str, measured: float
) -> None:
    work = workload(
        model_config(size, vocab_size=8192),
        micro=micro,
        steps=rows // micro,
        seq_len=512,
        dtype_bytes=dtype_bytes,
        recompute=recompute,
        is_compiled=False,
        is_cpu=True,
        lora=LoraSettings(rank=rank),
    )
    assert peak_memory(work).total == pytest.approx(measured, rel=0.025)


def test_what_adapters_save() -> None:
    config = SIZES["olmo2-7b"]
    step = moment(workload(config, lora=LoraSettings(rank=16)), "optimizer step")
    trained = 32 * 16 * (4 * (4096 + 4096) + 3 * (4096 + 11_008))  # by hand
    assert (step.gradients, step.optimizer) == (4 * trained, 8 * trained)
    assert step.parameters == pytest.approx(2 * num_parameters(config) + 4 * trained, rel=1e-3)
    assert peak_memory(workload(config, lora=LoraSettings(rank=16), recompute="all"), GPUS["a100"]).total < 24e9
