"""How many parameters a shape has and how many floating-point operations a token costs."""

from olmo2.model.sizes import ModelConfig


def num_parameters(config: ModelConfig, *, has_embedding: bool = True, has_lm_head: bool = True) -> int:
    """Count the parameters of a shape; leave out the input table or the output matrix (lm_head or score) if asked."""
    hidden, kv_size = config.hidden_size, config.num_key_value_heads * config.head_dim
    attention = 2 * hidden * hidden + 2 * hidden * kv_size + hidden + kv_size  # projections and QK-norms
    block = attention + 3 * hidden * config.intermediate_size + 2 * hidden
    outside = (config.vocab_size * has_embedding + config.output_size * has_lm_head) * hidden
    return config.num_hidden_layers * block + hidden + outside


def train_flops_per_token(config: ModelConfig, seq_len: int) -> int:
    """Return the operations of one trained token, forward and backward, recomputation not counted.

    6 per weight that multiplies (blocks and output matrix) + 12·L·C·T for attention without the causal saving: the
    convention of OLMo-core's MFU, so that figures compare.
    """
    weights = num_parameters(config, has_embedding=False)
    return 6 * weights + 12 * config.num_hidden_layers * config.hidden_size * seq_len


def total_train_flops(config: ModelConfig, total_tokens: int) -> int:
    """Return 6·N·D with all parameters counted: the FLOP column of the published tables."""
    return 6 * num_parameters(config) * total_tokens
