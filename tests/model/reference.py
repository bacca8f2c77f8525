"""Slow and plain versions of what the model computes, in float64, and the same model as transformers builds it.

Shapes   B rows · T query positions · S key positions · H query heads · K key-value heads · D head width · C = H·D
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from olmo2.model.init import initialise
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer


def small_config(num_key_value_heads: int = 2) -> ModelConfig:
    """A shape of two blocks and four query heads in which no setting has its usual value."""
    return ModelConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=num_key_value_heads,
        vocab_size=96,
        max_position_embeddings=512,
        rope_theta=1000.0,
        rms_norm_eps=1e-3,
        initializer_range=0.2,
    )


def random_model(config: ModelConfig, seed: int = 0) -> Transformer:
    """A model whose norms are not all ones, so that a forgotten weight shows."""
    model = Transformer(config)
    initialise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(1 + 0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def hf_config(config: ModelConfig) -> Any:
    """The shape as transformers' Olmo2Config."""
    transformers = pytest.importorskip("transformers")
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
             "vocab_size", "max_position_embeddings", "rms_norm_eps")  # fmt: skip
    return transformers.Olmo2Config(
        **{name: getattr(config, name) for name in names},
        rope_parameters={"rope_theta": config.rope_theta, "rope_type": "default"},
        pad_token_id=0,
        eos_token_id=1,
        attn_implementation="eager",
        num_labels=config.output_size if config.head == "reward" else 2,
    )


def hf_twin(model: Transformer, dtype: torch.dtype = torch.float32) -> Any:
    """Transformers' model with the weights of `model`, loaded in `dtype`."""
    transformers = pytest.importorskip("transformers")
    is_reward = model.config.head == "reward"
    kind = transformers.AutoModelForSequenceClassification if is_reward else transformers.AutoModelForCausalLM
    twin = kind.from_config(hf_config(model.config), dtype=dtype).eval()
    twin.load_state_dict(model.state_dict())
    return twin


def slow_rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) · weight."""
    return x.double() / (x.double().pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight.double()


def slow_rotate(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """Turn the complex numbers x[i] + j·x[i + D/2] of (..., T, D) by position · theta^(-2i/D)."""
    half = x.shape[-1] // 2
    numbers = torch.complex(x[..., :half].double(), x[..., half:].double())
    frequencies = torch.tensor([theta ** (-i / half) for i in range(half)], dtype=torch.float64)
    angles = positions.double()[..., None] * frequencies
    turned = numbers * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((turned.real, turned.imag), dim=-1)


def slow_attention(queries: Tensor, keys: Tensor, values: Tensor, is_visible: Tensor | None) -> Tensor:
    """Attention of (B, H, T, D) to (B, K, S, D), one row, one head and one query at a time."""
    num_rows, num_heads, num_queries, head_dim = queries.shape
    num_keys, group = keys.shape[2], num_heads // keys.shape[1]
    output = []
    for row in range(num_rows):
        for head in range(num_heads):
            for place in range(num_queries):
                seen = torch.arange(num_keys) <= place + num_keys - num_queries
                if is_visible is not None:
                    seen = is_visible[row, 0, place]
                scores = keys[row, head // group, seen].double() @ queries[row, head, place].double()
                output.append((scores / head_dim**0.5).softmax(0) @ values[row, head // group, seen].double())
    return torch.stack(output).view(num_rows, num_heads, num_queries, head_dim)
