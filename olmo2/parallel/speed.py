"""Seconds of one optimizer step on one device: arithmetic, memory traffic and what communication leaves unhidden.

Four constants; everything else is counted. The first was chosen within its stated bounds, the second fitted, so that
the published speeds of OLMo 2 on H100s come out (tests/parallel/test_speed.py); the others are measurements of others.

Not modelled: waiting for the slowest device, evaluation, saving, the time of small kernels and of Python (tiny models
are slower than predicted), uncompiled blocks, document masks, networks that other jobs use.
"""

from dataclasses import dataclass, fields

from olmo2.parallel.hardware import Hardware
from olmo2.parallel.workload import Workload

SHARE_OF_BEST_PRODUCT = 0.85
"""of the fastest matrix product that was measured, what those of training reach: their shapes are given, not sought"""
EXPOSED_SHARE = 0.5
"""of FSDP's communication that delays the arithmetic, directly or by taking its memory bandwidth and processors"""
ATTENTION_SHARE = 0.3
"""of the data sheet's peak: FlashAttention-2 on an H100, forward 319 and backward 310 of 989 TFLOP/s (arXiv 2407.08608,
figures 5 and 6, head width 128, 4,096 positions)"""
BANDWIDTH_SHARE = 0.9
"""of memory bandwidth in long copies (H100: 3.0 of 3.35 TB/s)"""
LINK_SHARE = 0.8
"""of a link's bandwidth in large collectives (NCCL on H100s: 360 of 450 GB/s within a machine)"""

LOGIT_BYTES = 40  # memory traffic of one logit in loss/language_model.py: about ten passes in bfloat16 or float32


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds of one step by what they go to."""

    products: float
    attention: float
    elementwise: float
    communication: float  # what is not hidden
    optimizer: float

    @property
    def total(self) -> float:
        """Seconds of the step."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, float]:
        """Seconds by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def step_time(work: Workload, hardware: Hardware) -> StepTime:
    """Return the seconds that one optimizer step takes."""
    repeats = work.num_micro_batches
    return StepTime(
        products=repeats * product_seconds(work, hardware),
        attention=repeats * attention_seconds(work, hardware),
        elementwise=repeats * elementwise_bytes(work) / (BANDWIDTH_SHARE * hardware.memory_bandwidth),
        communication=repeats * communication_seconds(work, hardware),
        optimizer=optimizer_bytes(work) / (BANDWIDTH_SHARE * hardware.memory_bandwidth),
    )


def repeated_shares(work: Workload) -> tuple[float, float]:
    """Return how often attention, and how often the MLP, is computed again on the way back."""
    return {"none": (0.0, 0.0), "mlp": (0.0, 1.0), "alternate": (0.5, 0.5), "all": (1.0, 1.0)}[work.parallel.recompute]


def product_seconds(work: Workload, hardware: Hardware) -> float:
    """Return the seconds of a micro-batch's products: 6 operations a weight and token, 2 more if computed again."""
    hidden, tokens = work.config.hidden_size, work.positions
    again_attention, again_mlp = repeated_shares(work)
    mlp = 3 * hidden * work.config.intermediate_size / work.grid.tensor
    weights = (6 + 2 * again_attention) * (work.block_weights - mlp) + (6 + 2 * again_mlp) * mlp
    best = hardware.bf16_flops if work.dtype_bytes == 2 else hardware.fp32_flops
    best_in_blocks = hardware.fp8_flops or best if work.parallel.float8 else best
    in_blocks = work.config.num_hidden_layers * tokens * weights / (SHARE_OF_BEST_PRODUCT * best_in_blocks)
    return in_blocks + 6 * work.own_positions * work.output_size / (SHARE_OF_BEST_PRODUCT * best)


def attention_seconds(work: Workload, hardware: Hardware) -> float:
    """Return the seconds of softmax(q·kᵀ)·v: two products on the way forward, five back, half of them masked out."""
    again, _ = repeated_shares(work)
    width = work.config.hidden_size / work.grid.tensor
    operations = work.config.num_hidden_layers * work.positions * (7 + 2 * again) * work.seq_len * width
    return operations / (ATTENTION_SHARE * (hardware.bf16_peak if work.dtype_bytes == 2 else hardware.fp32_flops))


def elementwise_bytes(work: Workload) -> float:
    """Return the memory traffic of what compiled blocks fuse between their products, and of the logits.

    Tensors read and written, in widths of the residual stream, for each position and block. Forward: two QK-norms
    with RoPE, two norms with their addition, SwiGLU. Backward: the same, and the sums of gradients that meet.
    """
    hidden = work.config.hidden_size
    keys, inner = work.kv_size / hidden, work.config.intermediate_size / hidden
    again_attention, again_mlp = repeated_shares(work)
    forward_attention, forward_mlp = 5 + 2 * keys, 3 + 3 * inner
    backward = 18 + 3 * keys + 5 * inner
    passes = (1 + again_attention) * forward_attention + (1 + again_mlp) * forward_mlp + backward
    if work.parallel.float8:  # inputs of the products and gradients are read and written once more, in half the bytes
        passes += 4 + 2 * inner
    in_blocks = work.config.num_hidden_layers * passes * hidden * work.dtype_bytes
    return work.own_positions * (in_blocks + LOGIT_BYTES * work.config.output_size)


def communication_seconds(work: Workload, hardware: Hardware) -> float:
    """Return the seconds of a micro-batch's communication that are not hidden behind arithmetic."""
    config, grid = work.config, work.grid
    weights = config.num_hidden_layers * work.block_weights + work.table_size + work.output_size
    gathers = 2 if work.parallel.reshard else 1
    sharding = collective_seconds(
        (gathers * work.dtype_bytes + 4) * weights, work.shard_ranks, inner=grid.tensor, hardware=hardware
    )
    own_gradients = 4 * weights / work.shard_ranks
    replication = 2 * collective_seconds(
        own_gradients, grid.replicate, inner=work.shard_ranks * grid.tensor, hardware=hardware
    )
    # Attention and MLP gather their input and scatter their output, both ways: eight exchanges, none of them hidden.
    exchanged = 8 * config.num_hidden_layers * work.positions * config.hidden_size * work.dtype_bytes
    tensor = collective_seconds(exchanged, grid.tensor, inner=1, hardware=hardware)
    keys = 4 * config.num_hidden_layers * work.positions * grid.context * work.kv_size / grid.tensor * work.dtype_bytes
    context = collective_seconds(keys, grid.context, inner=grid.tensor, hardware=hardware)
    return EXPOSED_SHARE * (sharding + replication) + tensor + context


def collective_seconds(size: float, ranks: int, *, inner: int, hardware: Hardware) -> float:
    """Return the seconds of gathering, or of reducing and scattering, `size` bytes among `ranks` devices.

    inner: how far apart the group's neighbours stand; the devices of a group that share a machine share its network.
    """
    bandwidth = hardware.link_bandwidth
    if ranks * inner > hardware.devices_per_machine:
        bandwidth = min(bandwidth, hardware.network_bandwidth * max(1, hardware.devices_per_machine // inner))
    return size * (ranks - 1) / ranks / (LINK_SHARE * bandwidth)


def optimizer_bytes(work: Workload) -> float:
    """Return the memory traffic of clipping and AdamW, once a step: each number is read, and most are written."""
    return work.local_parameters * (8 + 16 + 4 * work.state_bytes)
