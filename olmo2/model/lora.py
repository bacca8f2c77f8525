"""Low-rank adapters: what a projection learns is a product of two narrow matrices beside its frozen weight.

y = W·x + scale · B·(A·x), with scale alpha / rank. Only A and B are trained, in float32; embedding, norms, W and the
output matrix stay as they are, but for the head of a reward model, which is trained too. There is no dropout.

Shapes   I in_features · O out_features · R rank; W (O, I) · A (R, I) · B (O, R)
Source   LoRA (arXiv 2106.09685); names and initial values are PEFT's
"""

import math
from collections.abc import Iterator

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from olmo2.base.config import Settings
from olmo2.base.suggestions import nearest
from olmo2.model.init import SCORE
from olmo2.model.linear import Linear

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoraSettings(Settings):
    """Adapters instead of all weights."""

    rank: int = Field(ge=1)
    """width of the two matrices of an adapter; 8 to 64 are usual"""
    alpha: float | None = Field(default=None, gt=0)
    """an adapter's product counts alpha / rank times; null = twice the rank"""
    targets: list[str] = Field(default=list(PROJECTIONS), min_length=1)
    """projections of every block that get an adapter"""
    is_rank_stabilized: bool = False
    """count it alpha / sqrt(rank) times (arXiv 2312.03732)"""

    @field_validator("targets")
    @classmethod
    def are_projections(cls, targets: list[str]) -> list[str]:
        """Refuse what is not a projection of a block, and one that is named twice."""
        for target in targets:
            if target not in PROJECTIONS:
                raise ValueError(f"a block has no projection {target!r}{nearest(target, PROJECTIONS)}")
            if targets.count(target) > 1:
                raise ValueError(f"{target} is named twice")
        return targets

    @property
    def numerator(self) -> float:
        """Alpha, whether it was set or not."""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    @property
    def scale(self) -> float:
        """What the product of the adapters' matrices is multiplied by."""
        return self.numerator / (math.sqrt(self.rank) if self.is_rank_stabilized else self.rank)


class LoraLinear(Linear):
    """(..., I) -> (..., O) with an adapter beside the weight of `linear`, which is shared and not copied."""

    def __init__(self, linear: Linear, settings: LoraSettings) -> None:
        with torch.device(linear.weight.device):
            super().__init__(linear.in_features, linear.out_features)
            self.lora_A = Linear(linear.in_features, settings.rank)
            self.lora_B = Linear(settings.rank, linear.out_features)
        self.weight = linear.weight
        self.scale = settings.scale

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.lora_B(self.lora_A(x) * self.scale)


def add_lora(model: nn.Module, settings: LoraSettings, frozen_dtype: torch.dtype) -> None:
    """Give the projections of a model adapters, in place, and freeze all else; the adapters are to be filled.

    Frozen matrices are kept in `frozen_dtype`, in which they are multiplied anyway; norms, which are not, stay as they
    are.
    """
    for name, parameter in model.named_parameters():
        if name != f"{SCORE}.weight":  # the head of a reward model begins at random: it is trained as a whole
            parameter.requires_grad_(False)
            if parameter.dim() > 1:
                parameter.data = parameter.data.to(frozen_dtype)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if name in settings.targets and isinstance(child, Linear):
                setattr(module, name, LoraLinear(child, settings))


def initial_adapters(model: nn.Module, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the first values of all adapters by name, on the CPU: A uniform within ±1 / √I, B zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            limit = 1 / math.sqrt(module.in_features)
            shape = module.lora_A.weight.shape
            yield f"{name}.lora_A.weight", torch.empty(shape).uniform_(-limit, limit, generator=generator)
            yield f"{name}.lora_B.weight", torch.zeros(module.lora_B.weight.shape)


def has_adapters(model: nn.Module) -> bool:
    """Tell whether only a part of the model is trained."""
    return any(isinstance(module, LoraLinear) for module in model.modules())


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that an optimizer may change, by name: all of them, or an adapter."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
