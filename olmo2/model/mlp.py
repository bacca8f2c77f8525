"""The SwiGLU feed-forward layer."""

import torch.nn.functional as F
from torch import Tensor, nn

from olmo2.model.linear import Linear
from olmo2.model.sizes import ModelConfig


class MLP(nn.Module):
    """(B, T, C) -> (B, T, C): down(silu(gate(x)) · up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
