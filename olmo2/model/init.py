"""Every initial weight, in one function."""

import torch
from torch import nn

from olmo2.model.norm import RMSNorm
from olmo2.model.transformer import Transformer

CUTOFF_DEVIATIONS = 3.0  # of the truncated normal (allenai/OLMo: init_cutoff_factor)


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Fill the weights of `model` in place; the same seed gives the same weights on every device.

    norms              1
    every other weight normal, mean 0, deviation initializer_range, cut at 3 deviations; no scaling by depth
    """
    generator = torch.Generator().manual_seed(seed)
    deviation = model.config.initializer_range
    limit = CUTOFF_DEVIATIONS * deviation
    for module in model.modules():
        if isinstance(module, RMSNorm):
            module.weight.fill_(1.0)
        elif isinstance(module, nn.Linear | nn.Embedding):
            values = torch.empty(module.weight.shape, dtype=torch.float32)
            nn.init.trunc_normal_(values, std=deviation, a=-limit, b=limit, generator=generator)
            module.weight.copy_(values)
