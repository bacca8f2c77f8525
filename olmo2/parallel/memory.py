"""Bytes that one device needs, by part, at the moments of a step that can be its fullest.

What torch's allocator hands out is modelled, not what it reserves beyond that: fragments come on top. With one device
the weights are those of the model, and products copy them in the compute dtype; with several they are gathered.

Source   torch's FSDP2 (arXiv 2304.11277 describes its predecessor): gradients of a block are gathered in the compute
         dtype, copied to float32 for the reduction, and the block after is gathered while one is computed
"""

from dataclasses import dataclass, fields, replace

from olmo2.loss.language_model import CACHED_LOGITS, chunk_rows
from olmo2.model.blocked_attention import blocks
from olmo2.parallel.activations import (
    block_activations,
    block_activations_kept,
    kept_outside_blocks,
    recomputed_activations,
)
from olmo2.parallel.hardware import Hardware
from olmo2.parallel.workload import Workload

FLOAT32 = 4


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one device at one moment, by what they are for."""

    moment: str
    parameters: float  # float32, this device's share
    optimizer: float  # both moments of this device's parameters
    gradients: float = 0  # float32, this device's share
    weights: float = 0  # in the compute dtype: gathered from other devices, or copied
    activations: float = 0
    logits: float = 0  # of one chunk of positions, and the gradient of the output matrix
    working: float = 0  # what is made and dropped within the backward of a block
    runtime: float = 0  # outside of torch's tensors

    @property
    def total(self) -> float:
        """Bytes of all parts."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, float]:
        """Bytes by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "moment"}


def peak_memory(work: Workload, hardware: Hardware | None = None) -> Memory:
    """Return the fullest moment of a step; without hardware, of torch's tensors alone."""
    peak = max(moments(work), key=lambda memory: memory.total)
    return peak if hardware is None else replace(peak, runtime=hardware.runtime_bytes)


def moments(work: Workload) -> list[Memory]:
    """Return the memory at each moment that can be the fullest."""
    parameters = work.local_parameters
    gradients = FLOAT32 * parameters
    accumulated = gradients if work.num_micro_batches > 1 else 0  # of the micro-batches before
    is_spread = work.grid.world_size > 1
    # A parameter's gradient has its dtype: float32 for the model's own weights, the compute dtype for gathered ones.
    head_gradient = (work.dtype_bytes if is_spread else FLOAT32) * work.output_size
    # Alone, the output matrix's gradient goes into those accumulated at once; spread, it waits for the reduction.
    kept_head_gradient = head_gradient if is_spread or not accumulated else 0
    in_blocks, outside = block_activations_kept(work), kept_outside_blocks(work)
    hidden_states = work.own_positions * work.config.hidden_size

    begin = Memory(
        moment="optimizer step",
        parameters=FLOAT32 * parameters,
        optimizer=2 * work.state_bytes * parameters,
        gradients=gradients,
        # Moments in bfloat16 are updated in float32, a parameter at a time.
        working=2 * FLOAT32 * work.table_size / work.shard_ranks if work.state_bytes < FLOAT32 else 0,
    )
    filled = replace(
        begin,
        gradients=accumulated,
        weights=compute_weights(work),
        activations=in_blocks + outside,
        logits=head_gradient,
        working=0,
    )
    return [
        begin,
        replace(
            filled,
            moment="loss",
            activations=filled.activations + work.dtype_bytes * hidden_states,
            logits=FLOAT32 * work.output_size + loss_working(work),
        ),
        replace(filled, moment="backward of the loss", logits=2 * head_gradient),
        replace(
            filled,
            moment="backward of the last norm",
            logits=kept_head_gradient,
            working=3 * FLOAT32 * hidden_states,
        ),
        replace(
            filled,
            moment="backward of the last block",
            activations=in_blocks,
            logits=kept_head_gradient,
            working=recomputed_activations(work) + block_backward_working(work),
        ),
        replace(
            begin,
            moment="end of the backward",
            weights=compute_weights(work),
            working=end_working(work, is_accumulating=accumulated > 0),
        ),
    ]


def compute_weights(work: Workload) -> int:
    """Return the bytes of weights in the compute dtype during forward and backward."""
    layers = work.config.num_hidden_layers
    if work.grid.world_size > 1:  # the tables stay gathered; of the blocks, one is computed and the next is under way
        gathered_blocks = min(2, layers) if work.parallel.reshard else layers
        tables = work.table_size + work.output_size
        return work.dtype_bytes * (tables + gathered_blocks * work.block_weights)
    if work.dtype_bytes == FLOAT32:
        return 0
    # Autograd keeps the copies for the backward, as it does activations.
    attention = 2 * work.config.hidden_size * (work.config.hidden_size + work.kv_size)
    kept = {"none": work.block_weights, "mlp": attention, "alternate": work.block_weights / 2, "all": 0}
    return round(work.dtype_bytes * layers * kept[work.parallel.recompute])


def loss_working(work: Workload) -> int:
    """Return what the loss holds while a chunk of logits is alive (loss/language_model.py)."""
    positions, num_logits = work.own_positions, work.config.output_size
    rows = min(chunk_rows(is_cpu=work.is_cpu), positions)
    logits = rows * num_logits
    held = 2 * logits * work.dtype_bytes  # logits and their gradient
    if work.is_cpu:  # a few rows at a time in float32
        some = min(logits, max(CACHED_LOGITS, num_logits))
        precise = FLOAT32 * some * (1 if work.dtype_bytes == FLOAT32 else 2)
    elif work.is_compiled:  # nothing between the logits and their gradient
        precise = 0
    else:  # logits and probabilities of the chunk in float32
        precise = FLOAT32 * logits * (1 if work.dtype_bytes == FLOAT32 else 2)
    product = work.dtype_bytes * (logits + work.output_size)  # one gradient of logits, and its share of the matrix's
    is_copied = work.grid.world_size == 1 and work.dtype_bytes != FLOAT32
    return max(held + precise, product) + (work.dtype_bytes * work.output_size if is_copied else 0)


def block_backward_working(work: Workload) -> int:
    """Return what the backward of a block makes and drops: gradients of its activations and of its weights."""
    own, hidden = work.own_positions, work.config.hidden_size
    # Gradients of the MLP's gate, up and product; the product itself is dropped by then.
    in_mlp = work.dtype_bytes * own * (2 * work.config.intermediate_size + hidden)
    in_attention = 0
    if work.has_attention_in_blocks:  # numerators, their gradient and that of the scores, of the longest block
        queries, keys = blocks(work.seq_len)[-1]
        heads = work.config.num_attention_heads // work.grid.tensor
        scores = work.micro_batch_sequences * heads * (queries.stop - queries.start) * keys.stop
        in_attention = 3 * FLOAT32 * scores + 4 * FLOAT32 * own * hidden - block_activations(work).mlp
    weight_gradients = FLOAT32 * work.block_weights
    if work.grid.world_size > 1:  # gathered in the compute dtype while those of the block before are reduced in float32
        weight_gradients += work.dtype_bytes * work.block_weights
    return max(in_mlp, in_attention) + weight_gradients


def end_working(work: Workload, *, is_accumulating: bool) -> int:
    """Return what the backward holds at its end: gradients of the tables on their way to where they are kept."""
    states = FLOAT32 * work.own_positions * work.config.hidden_size
    if work.grid.world_size > 1:
        return states + (work.table_size + work.output_size) * (work.dtype_bytes + FLOAT32)
    return states + (FLOAT32 * work.table_size if is_accumulating else 0)
