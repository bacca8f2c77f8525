"""Every initial weight, in one function."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from olmo2.model.norm import RMSNorm
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer

SCORE = "score"  # the head of a reward model
CUTOFF_DEVIATIONS = 3.0  # of the truncated normal (allenai/OLMo: init_cutoff_factor)


def initial_weights(config: ModelConfig, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield every weight of a new model by name, float32 on the CPU; the same seed gives the same on every machine.

    norms              1
    a reward's head    as `initial_score` says
    every other weight normal, mean 0, deviation initializer_range, cut at 3 deviations; no scaling by depth
    """
    generator = torch.Generator().manual_seed(seed)
    limit = CUTOFF_DEVIATIONS * config.initializer_range
    with torch.device("meta"):
        model = Transformer(config)
    for name, module in model.named_modules():
        if isinstance(module, RMSNorm):
            yield f"{name}.weight", torch.ones(module.weight.shape)
        elif name == SCORE:
            yield f"{name}.weight", initial_score(config, generator)
        elif isinstance(module, nn.Linear | nn.Embedding):
            values = torch.empty(module.weight.shape)
            nn.init.trunc_normal_(values, std=config.initializer_range, a=-limit, b=limit, generator=generator)
            yield f"{name}.weight", values


def initial_score(config: ModelConfig, generator: torch.Generator) -> Tensor:
    """Return the head (1, C) of a new reward model: normal, mean 0, deviation 1 / √(C + 1).

    Source   OLMo 2's reward models, allenai/open-instruct reward_modeling.py
    """
    return torch.randn(1, config.hidden_size, generator=generator) / math.sqrt(config.hidden_size + 1)


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Fill the weights of `model` in place with those of a new model."""
    weights = model.state_dict()
    for name, values in initial_weights(model.config, seed):
        weights[name].copy_(values)
