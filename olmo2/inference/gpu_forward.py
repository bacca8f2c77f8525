"""The forward of one token of each answer on a GPU, out of few kernels, in the place of the model's own.

What it computes is what the model computes. A token of the 1B reads 2.6 GB of weights in under a millisecond; the
model's own forward is over a thousand operations, which take longer than that each to begin.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from olmo2.inference.gpu_layers import add_norm, attend, store_rotated
from olmo2.inference.gpu_products import gated_product, product, use_gpu_products
from olmo2.inference.gpu_weights import Weights, behind_one_another, weights_of
from olmo2.inference.paged_cache import PagedCache
from olmo2.model.block import Block
from olmo2.model.rope import rope_tables
from olmo2.model.transformer import Transformer


@dataclass(frozen=True)
class Layer:
    """A block: matrices that read the same tokens are one."""

    query_key_value: Weights
    output: Weights
    gate_up: Weights
    down: Weights
    query_key_norm: Tensor
    attention_norm: Tensor
    mlp_norm: Tensor
    keys: Tensor
    values: Tensor


class GpuForward:
    """A model and its cache as the kernels see them; their memory is shared, not copied."""

    def __init__(self, model: Transformer, cache: PagedCache, layers: list[Layer], head: Weights) -> None:
        self.layers, self.head = layers, head
        self.embedding, self.norm = model.model.embed_tokens.weight.data, model.model.norm.weight.data
        config = model.config
        self.eps = config.rms_norm_eps
        places = torch.arange(config.max_position_embeddings, device=cache.keys.device)
        self.tables = rope_tables(places, config.head_dim, config.rope_theta)

    def logits(self, ids: Tensor, places: Tensor, pages: Tensor) -> Tensor:
        """Read a token (N) at its place (N) in the pages (N, P) of each answer; return what follows, (N, V) float32."""
        x = F.embedding(ids, self.embedding)
        for layer in self.layers:
            projected = product(x, layer.query_key_value)
            queries = store_rotated(
                projected, layer.query_key_norm, self.tables, places, pages, layer.keys, layer.values, self.eps
            )
            mixed = attend(queries, layer.keys, layer.values, places, pages)
            x = add_norm(x, product(mixed, layer.output), layer.attention_norm, self.eps)
            x = add_norm(x, product(gated_product(x, layer.gate_up), layer.down), layer.mlp_norm, self.eps)
        return product(add_norm(None, x, self.norm, self.eps), self.head, torch.float32)


def gpu_forward(model: Transformer, cache: PagedCache) -> GpuForward | None:
    """Return the kernels' forward of a model, None where they cannot do what the model does.

    In either case its quantized layers multiply with the kernels' products from now on.
    """
    use_gpu_products(model)
    dtypes = {parameter.dtype for parameter in model.parameters()}
    if dtypes != {model.dtype}:
        return None
    blocks: Any = model.model.layers
    layers = [layer_of(block, cache, number) for number, block in enumerate(blocks)]
    head = weights_of([model.lm_head])
    if head is None or None in layers:
        return None
    return GpuForward(model, cache, [layer for layer in layers if layer is not None], head)


def layer_of(block: Block, cache: PagedCache, number: int) -> Layer | None:
    """Describe a block; None for one whose matrices are of different kinds."""
    attention, mlp = block.self_attn, block.mlp
    query_key_value = weights_of([attention.q_proj, attention.k_proj, attention.v_proj])
    gate_up = weights_of([mlp.gate_proj, mlp.up_proj])
    output, down = weights_of([attention.o_proj]), weights_of([mlp.down_proj])
    if query_key_value is None or gate_up is None or output is None or down is None:
        return None
    return Layer(
        query_key_value,
        output,
        gate_up,
        down,
        behind_one_another([attention.q_norm.weight, attention.k_norm.weight]),
        block.post_attention_layernorm.weight.data,
        block.post_feedforward_layernorm.weight.data,
        cache.keys[number],
        cache.values[number],
    )
