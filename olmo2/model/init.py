"""Every initial weight, in one function."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from olmo2.model.norm import RMSNorm
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer

CUTOFF_DEVIATIONS = 3.0  # of the truncated normal (allenai/OLMo: init_cutoff_factor)


def initial_weights(config: ModelConfig, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield every weight of a new model by name, float32 on the CPU; the same seed gives the same on every machine.

    norms              1
    every other weight normal, mean 0, deviation initializer_range, cut at 3 deviations; no scaling by depth
    """
    generator = torch.Generator().manual_seed(seed)
    limit = CUTOFF_DEVIATIONS * config.initializer_range
    with torch.device("meta"):
        model = Transformer(config)
    for name, module in model.named_modules():
        if isinstance(module, RMSNorm):
            yield f"{name}.weight", torch.ones(module.weight.shape)
        elif isinstance(module, nn.Linear | nn.Embedding):
            values = torch.empty(module.weight.shape)
            nn.init.trunc_normal_(values, std=config.initializer_range, a=-limit, b=limit, generator=generator)
            yield f"{name}.weight", values


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Fill the weights of `model` in place with those of a new model."""
    weights = model.state_dict()
    for name, values in initial_weights(model.config, seed):
        weights[name].copy_(values)
