"""Predicted bytes against those that autograd really saves, counted by torch's own hooks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from olmo2.loss.language_model import language_model_loss
from olmo2.model import attention
from olmo2.model.init import initialise
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer
from olmo2.parallel.activations import (
    block_activations,
    block_activations_kept,
    kept_outside_blocks,
    num_scores,
    recomputed_activations,
)
from olmo2.parallel.memory import compute_weights
from olmo2.parallel.mesh import Grid, ParallelSettings
from olmo2.parallel.workload import Workload


def shape(hidden: int, inner: int, layers: int, heads: int, kv_heads: int) -> ModelConfig:
    """A shape with a small vocabulary."""
    return ModelConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=256,
    )


SHAPES = [shape(64, 160, 3, 4, 4), shape(96, 384, 2, 6, 2), shape(128, 256, 4, 4, 1)]


def workload(config: ModelConfig, rows: int, seq_len: int, **changes: Any) -> Workload:
    """One device of a single-device run, uncompiled unless changed."""
    given: dict[str, Any] = {
        "grid": Grid(1, 1, 1, 1),
        "parallel": ParallelSettings(),
        "step_sequences": rows,
        "dtype_bytes": 4,
        "is_compiled": False,
        "is_cpu": True,
    }
    return Workload(config=config, seq_len=seq_len, micro_batch_sequences=rows, **(given | changes))


@contextmanager
def counted_bytes(parameters: set[int]) -> Iterator[list[int]]:
    """Collect the sizes of all storages that autograd saves meanwhile, each once, parameters left out."""
    sizes: list[int] = []
    seen: set[int] = set()
    alive = []  # a storage that was freed could give its address to another

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen | parameters:
            seen.add(storage.data_ptr())
            sizes.append(storage.nbytes())
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes


def saved_bytes(config: ModelConfig, rows: int, seq_len: int, dtype: torch.dtype) -> int:
    """Run a forward with its loss and count what is saved."""
    model = Transformer(config)
    initialise(model, 0)
    model.model.compute_dtype = dtype
    input_ids = torch.randint(config.vocab_size, (rows, seq_len))
    parameters = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    with counted_bytes(parameters) as sizes:
        model(input_ids, head=lambda hidden, weight: language_model_loss(hidden, weight, input_ids).total)
    return sum(sizes)


def predicted_bytes(work: Workload) -> int:
    """All that is saved: blocks, the rest, bfloat16 copies of weights, and the output matrix's gradient."""
    return block_activations_kept(work) + kept_outside_blocks(work) + compute_weights(work) + 4 * work.table_size


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize(("rows", "seq_len"), [(3, 128), (1, 512)])
def test_attention_in_blocks(config: ModelConfig, rows: int, seq_len: int) -> None:
    counted = saved_bytes(config, rows, seq_len, torch.float32)
    assert predicted_bytes(workload(config, rows, seq_len)) == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flash_attention(config: ModelConfig, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MAX_BLOCKED_SEQ_LEN", 0)  # as on GPUs
    counted = saved_bytes(config, 2, 256, dtype)
    work = workload(config, 2, 256, dtype_bytes=dtype.itemsize, is_cpu=False)
    assert predicted_bytes(work) == pytest.approx(counted, rel=0.01)


def test_scores_of_attention_in_blocks() -> None:
    assert num_scores(128) == 128**2
    assert num_scores(2048) == 2048**2 * 5 / 8


def test_compiled_blocks_keep_less() -> None:
    # Counted with the hooks above around compiled blocks: 7 + 3·keys + 3·inner tensors of the residual stream's size.
    config = SHAPES[0]
    work = workload(config, 1, 128, is_compiled=True, is_cpu=False, dtype_bytes=2)
    tensors = (7 + 3 + 3 * 160 / 64) * 128 * 64 * 2
    scales = 128 * 4 * 4 + 128 * 4 * 4  # four norms; four heads' logarithms of row sums
    assert block_activations(work).total == tensors + scales


def test_recomputation_gives_back_what_it_did_not_keep() -> None:
    config = SHAPES[2]  # four blocks
    works = {
        policy: workload(config, 2, 128, parallel=ParallelSettings(recompute=policy))
        for policy in ("none", "mlp", "alternate", "all")
    }
    kept = {policy: block_activations_kept(work) for policy, work in works.items()}
    block = kept["none"] / 4
    assert kept["none"] > kept["mlp"] > kept["all"] == 4 * 2 * 128 * 128 * 4
    assert kept["alternate"] == (kept["none"] + kept["all"]) / 2
    assert kept["mlp"] / 4 + recomputed_activations(works["mlp"]) == block
    assert kept["all"] / 4 + recomputed_activations(works["all"]) == block
    assert recomputed_activations(works["none"]) == 0


def test_shares_of_a_tensor_and_context_group() -> None:
    config, settings = shape(64, 160, 1, 4, 4), {"is_compiled": True, "is_cpu": False}
    alone = block_activations(workload(config, 2, 256, **settings))
    context = block_activations(workload(config, 2, 256, grid=Grid(1, 1, 2, 1), **settings))
    tensor = block_activations(workload(config, 2, 256, grid=Grid(1, 1, 1, 2), **settings))
    stream = 2 * 256 * 64 * 4
    assert context.total == alone.total / 2 + stream  # keys and values are gathered: two halves more
    assert tensor.mlp == pytest.approx(alone.mlp / 2 + stream / 2, rel=0.01)  # so are the inputs of the products
