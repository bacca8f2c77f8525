"""A block: the norms stand behind attention and MLP, inside the residual branch."""

import torch

from olmo2.model.block import Block
from olmo2.model.rope import rope_tables
from tests.model.reference import random_model, slow_rms_norm, small_config

CONFIG = small_config()
ROPE = rope_tables(torch.arange(6), CONFIG.head_dim, CONFIG.rope_theta)


def random_block() -> Block:
    return random_model(CONFIG).model.layers[0]


def states() -> torch.Tensor:
    return torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0))


def test_adds_the_normalised_output_of_each_layer() -> None:
    block, x = random_block(), states()
    eps = CONFIG.rms_norm_eps
    attended = block.self_attn(x, ROPE, None, None)
    middle = x.double() + slow_rms_norm(attended, block.post_attention_layernorm.weight, eps)
    fed = block.mlp(middle.float())
    expected = middle + slow_rms_norm(fed, block.post_feedforward_layernorm.weight, eps)
    torch.testing.assert_close(block(x, ROPE).double(), expected, rtol=0, atol=1e-5)


def test_there_are_no_norms_before_the_layers() -> None:
    norms = {name for name, _ in random_block().named_children() if "norm" in name}
    assert norms == {"post_attention_layernorm", "post_feedforward_layernorm"}


def test_silent_norms_leave_the_residual_stream_alone() -> None:
    block, x = random_block(), states()
    torch.nn.init.zeros_(block.post_attention_layernorm.weight)
    torch.nn.init.zeros_(block.post_feedforward_layernorm.weight)
    assert torch.equal(block(x, ROPE), x)


def test_keeps_the_dtype_of_the_stream() -> None:
    assert random_block()(states().bfloat16(), ROPE).dtype == torch.bfloat16
