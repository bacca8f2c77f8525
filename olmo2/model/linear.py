"""A matrix product without bias whose weight follows the dtype of its input.

Master weights stay in float32 while activations are bfloat16: the cast happens where the weight is used,
exactly as sharded training with a bfloat16 parameter dtype does it. With equal dtypes it costs nothing.

Shapes   N tokens in any leading shape · I in_features · O out_features
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """(..., I) -> (..., O), no bias."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def reset_parameters(self) -> None:
        """Leave the memory as it is: model/init.py or a checkpoint fills every weight."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))
