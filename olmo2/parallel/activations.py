"""Bytes of the tensors that autograd keeps from forward to backward, counted from what the blocks compute.

Every figure is the number of tensors of a kind that are saved, times its size; bench/memory.py and the tests count
them with torch.autograd.graph.saved_tensors_hooks. Compiled blocks compute cheap things again instead of keeping them:
a norm keeps its input alone, and silu(gate) is not kept.
"""

from typing import NamedTuple

from olmo2.model.blocked_attention import blocks
from olmo2.model.lora import MLP_PROJECTIONS
from olmo2.parallel.workload import Workload


class BlockActivations(NamedTuple):
    """Bytes of one block."""

    input: int  # all that a block which is computed again keeps
    attention: int  # everything up to and with the attention's norm
    mlp: int

    @property
    def total(self) -> int:
        """Bytes of a block that computes nothing again; the input is one of the attention's tensors."""
        return self.attention + self.mlp


def block_activations(work: Workload) -> BlockActivations:
    """Count what one block keeps on one device."""
    config, tensor = work.config, work.grid.tensor
    hidden, heads = config.hidden_size, config.num_attention_heads // tensor
    # Each row of a norm has a float32 scale, too.
    matrix_input = work.positions * hidden * work.dtype_bytes  # gathered from the tensor group, so not divided
    norm_bytes = work.dtype_bytes if work.is_compiled else uncompiled_norm_bytes(work)
    projection_norms = work.own_positions * (hidden + work.kv_size) * norm_bytes + 2 * work.positions * 4
    output_norm = work.own_positions * (hidden * norm_bytes + 4)

    if work.has_attention_in_blocks:  # queries, keys and values with repeated heads, output, its transposed copy
        rows = work.micro_batch_sequences * heads
        mixing = 5 * work.own_positions * hidden * work.dtype_bytes
        mixing += rows * num_scores(work.seq_len) * work.dtype_bytes + rows * work.seq_len * 4
    else:  # queries, output, keys and values (gathered over the context), logarithms of the row sums
        kept_keys = 2 * work.positions * work.grid.context * work.kv_size // tensor
        mixing = (2 * work.own_positions * hidden + kept_keys) * work.dtype_bytes + work.positions * heads * 4

    num_inner = 3 if work.is_compiled else 4  # gate, up, their product and, uncompiled, silu(gate)
    inner = num_inner * work.own_positions * config.intermediate_size * work.dtype_bytes
    in_adapter = 0 if work.lora is None else work.own_positions * work.lora.rank * work.dtype_bytes  # of each, A·x
    targets = [] if work.lora is None else work.lora.targets
    num_in_mlp = sum(target in MLP_PROJECTIONS for target in targets)
    return BlockActivations(
        input=work.own_positions * hidden * work.dtype_bytes,
        attention=matrix_input + projection_norms + mixing + output_norm + (len(targets) - num_in_mlp) * in_adapter,
        mlp=matrix_input + inner + output_norm + num_in_mlp * in_adapter,
    )


def num_scores(seq_len: int) -> int:
    """Count the scores of one head's attention in blocks: about 5/8·T² where it is cut into four."""
    return sum((block.stop - block.start) * past.stop for block, past in blocks(seq_len))


def block_activations_kept(work: Workload) -> int:
    """Return the bytes that all blocks keep until their backward, under the recompute setting."""
    block, layers = block_activations(work), work.config.num_hidden_layers
    match work.parallel.recompute:
        case "none":
            return layers * block.total
        case "mlp":
            return layers * (block.attention + block.input + work.own_positions * output_norm_bytes(work))
        case "alternate":
            return (layers - layers // 2) * block.total + layers // 2 * block.input
        case "all":
            return layers * block.input


def output_norm_bytes(work: Workload) -> int:
    """Return the bytes of one position that the norm behind the MLP keeps, which is not computed again with it."""
    return work.config.hidden_size * (work.dtype_bytes if work.is_compiled else uncompiled_norm_bytes(work)) + 4


def uncompiled_norm_bytes(work: Workload) -> int:
    """Return the bytes of one number that a norm keeps: a float32 copy of its input and, if trained, what it scales."""
    return 4 if work.lora else 2 * 4


def recomputed_activations(work: Workload) -> int:
    """Return the bytes that the block under way gets back for its backward."""
    block = block_activations(work)
    match work.parallel.recompute:
        case "none":
            return 0
        case "mlp":
            return block.mlp - block.input - work.own_positions * output_norm_bytes(work)
        case "alternate" | "all":
            return block.total - block.input


def kept_outside_blocks(work: Workload) -> int:
    """Return what the rest keeps: token ids, RoPE's tables, the final norm (never compiled), the states' gradient."""
    hidden = work.config.hidden_size
    positions = 8 * work.own_positions + 2 * 4 * work.seq_len * work.config.head_dim // work.grid.context
    return positions + work.own_positions * (hidden * (uncompiled_norm_bytes(work) + work.dtype_bytes) + 4)
