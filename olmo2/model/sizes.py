"""The shape of a model and the table of published and small shapes.

Field names are the keys of Hugging Face's config.json, so a shape needs no translation at any border.
Published rows: allenai/OLMo configs/official-0425 and official-1124, OLMo-core nn/transformer/config.py (32B).
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from olmo2.base.errors import UsageError

VOCABULARY_MULTIPLE = 128  # embedding tables are padded to this, as in the published models
DOLMA2_VOCABULARY = 100_278

HeadKind = Literal["language_model", "reward"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that determines the tensors of an OLMo 2 model and what they compute."""

    hidden_size: int
    intermediate_size: int  # inner width of the MLP: rows of the gate, and of the up projection
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int = 100_352  # rows of the embedding table, padding included
    max_position_embeddings: int = 4096
    rope_theta: float = 500_000.0
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    head: HeadKind = "language_model"  # a logit for every token id; reward = one score

    def __post_init__(self) -> None:
        for name in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "vocab_size",
            "max_position_embeddings",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        for name in ("rope_theta", "rms_norm_eps", "initializer_range"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"model.{name} must be a number above 0, not {getattr(self, name)}")
        if self.hidden_size % (2 * self.num_attention_heads):
            raise UsageError(
                f"model.hidden_size {self.hidden_size} must be an even multiple of "
                f"model.num_attention_heads {self.num_attention_heads}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise UsageError(
                f"model.num_attention_heads {self.num_attention_heads} must be a multiple of "
                f"model.num_key_value_heads {self.num_key_value_heads}"
            )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def output_size(self) -> int:
        """Rows of the output matrix."""
        return 1 if self.head == "reward" else self.vocab_size


def shape(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int | None = None) -> ModelConfig:
    """Return one row of the table below."""
    return ModelConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads or heads,
    )


SIZES: dict[str, ModelConfig] = {
    # Small shapes for laptops and tests; named after their blocks' parameters.
    "olmo2-1m": shape(128, 512, 4, 2),
    "olmo2-3m": shape(192, 768, 5, 3),
    "olmo2-6m": shape(256, 1024, 6, 4),
    "olmo2-34m": shape(512, 2048, 8, 8),
    "olmo2-113m": shape(768, 3072, 12, 12),
    "olmo2-268m": shape(1024, 4096, 16, 16),
    # The published models.
    "olmo2-1b": shape(2048, 8192, 16, 16),
    "olmo2-7b": shape(4096, 11008, 32, 32),
    "olmo2-13b": shape(5120, 13824, 40, 40),
    "olmo2-32b": shape(5120, 27648, 64, 40, 8),
}


def padded_vocabulary(vocab_size: int) -> int:
    """Round the number of token ids up to the multiple that the embedding table is padded to."""
    return -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def model_config(size: str, *, vocab_size: int = DOLMA2_VOCABULARY, **changes: int | float) -> ModelConfig:
    """Return the shape named `size` for a tokenizer of `vocab_size` ids, with `changes` to single fields."""
    if size not in SIZES:
        raise UsageError(f"model.size: there is no size {size!r}; known: {', '.join(SIZES)}")
    return replace(SIZES[size], vocab_size=padded_vocabulary(vocab_size), **changes)  # type: ignore[arg-type]
