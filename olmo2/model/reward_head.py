"""The score of a conversation, read off its last token: the head that a reward model's forward takes.

Shapes   B rows · T positions · C hidden_size
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from olmo2.model.transformer import Head


def scores_at(last: Tensor) -> Head:
    """Return the head that gives the score (B,), float32, at position `last` (B,) of every row.

    The product is in float32: in bfloat16 it would keep three digits, and different conversations would tie.
    """

    def head(hidden: Tensor, score_weight: Tensor) -> Tensor:  # (B, T, C), (1, C) -> (B,)
        states = hidden[torch.arange(len(hidden), device=hidden.device), last]
        return F.linear(states.float(), score_weight.float())[:, 0]

    return head
