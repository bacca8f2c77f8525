"""How many parameters a shape has and how many floating-point operations a token costs."""

from olmo2.model.lora import LoraSettings
from olmo2.model.sizes import ModelConfig


def num_parameters(config: ModelConfig, *, has_embedding: bool = True, has_lm_head: bool = True) -> int:
    """Count the parameters of a shape; leave out the input table or the output matrix (lm_head or score) if asked."""
    hidden, kv_size = config.hidden_size, config.num_key_value_heads * config.head_dim
    attention = 2 * hidden * hidden + 2 * hidden * kv_size + hidden + kv_size  # projections and QK-norms
    block = attention + 3 * hidden * config.intermediate_size + 2 * hidden
    outside = (config.vocab_size * has_embedding + config.output_size * has_lm_head) * hidden
    return config.num_hidden_layers * block + hidden + outside


def num_adapter_parameters(config: ModelConfig, lora: LoraSettings) -> int:
    """Count the parameters that are trained with adapters: A and B of every target, and the head of a reward model."""
    hidden, kv_size, inner = config.hidden_size, config.num_key_value_heads * config.head_dim, config.intermediate_size
    sizes = {  # in and out
        **dict.fromkeys(("q_proj", "o_proj"), hidden + hidden),
        **dict.fromkeys(("k_proj", "v_proj"), hidden + kv_size),
        **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), hidden + inner),
    }
    adapters = config.num_hidden_layers * lora.rank * sum(sizes[target] for target in lora.targets)
    return adapters + (hidden if config.head == "reward" else 0)


def train_flops_per_token(config: ModelConfig, seq_len: int, lora: LoraSettings | None = None) -> int:
    """Return the operations of one trained token, forward and backward, recomputation not counted.

    6 per weight that multiplies (blocks and output matrix) + 12·L·C·T for attention without the causal saving: the
    convention of OLMo-core's MFU, so that figures compare. With adapters 4 per weight, which has no gradient, and 6 per
    number of an adapter.
    """
    weights = num_parameters(config, has_embedding=False)
    products = 6 * weights if lora is None else 4 * weights + 6 * num_adapter_parameters(config, lora)
    return products + 12 * config.num_hidden_layers * config.hidden_size * seq_len


def total_train_flops(config: ModelConfig, total_tokens: int) -> int:
    """Return 6·N·D with all parameters counted: the FLOP column of the published tables."""
    return 6 * num_parameters(config) * total_tokens
