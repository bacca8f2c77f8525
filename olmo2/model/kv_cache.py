"""What attention remembers of the tokens it has already seen, so that decoding does not read them again.

Shapes   L layers · B rows · K key-value heads · S capacity in tokens · D head width
"""

import torch
from torch import Tensor

from olmo2.model.sizes import ModelConfig


class KVCache:
    """Keys and values of every layer for the first `length` tokens of every row."""

    def __init__(
        self, config: ModelConfig, num_rows: int, capacity: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.num_hidden_layers, num_rows, config.num_key_value_heads, capacity, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.document_ids = torch.full((num_rows, capacity), -1, dtype=torch.int32, device=device)
        self.capacity = capacity
        self.length = 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, K, T, D) behind what layer `layer` holds and return all of it, (B, K, length + T, D)."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
