"""AdamW with OLMo 2's parameter groups, and its state as named tensors."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from olmo2.base.config import Settings
from olmo2.base.errors import UsageError
from olmo2.optim.skip_step import SkipStepSettings

EMBEDDING = "model.embed_tokens.weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
Share = Annotated[float, Field(ge=0, lt=1)]


class OptimSettings(Settings):
    """The optimizer of a stage."""

    peak_lr: float = Field(gt=0)
    """highest learning rate"""
    betas: tuple[Share, Share] = (0.9, 0.95)
    """decay of the running mean of gradients and of their squares"""
    eps: float = Field(default=1e-8, ge=1e-30)
    """added to the root of the second moment; must not vanish in float32"""
    weight_decay: float = Field(default=0.1, ge=0)
    """on every weight but the input embedding, norms included"""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """global gradient norm above which gradients are scaled down"""
    is_step_frozen: bool = False
    """correct the moments' bias at every step as if it were the first, as the trainer of the published 32B did"""
    state_dtype: Literal["fp32", "bf16"] = "fp32"
    """of the moments; bf16 saves four bytes a parameter"""
    skip_step: SkipStepSettings | None = None
    """leave out steps whose loss or gradient norm is an outlier; null = only those that are not finite"""


def build_optimizer(model: nn.Module, settings: OptimSettings) -> torch.optim.AdamW:
    """Return AdamW over two groups: everything with decay, and the input embedding without.

    Source: allenai/OLMo olmo/optim.py (decay_norm_and_bias true, decay_embeddings false).
    """
    decayed = [parameter for name, parameter in model.named_parameters() if name != EMBEDDING]
    embedding = [parameter for name, parameter in model.named_parameters() if name == EMBEDDING]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": embedding, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups,
        lr=settings.peak_lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return both moments of every parameter as ``exp_avg.<parameter name>``, and ``step`` (a scalar).

    Empty before the first step.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        for moment in MOMENTS:
            if moment in state:
                tensors[f"{moment}.{name}"] = state[moment]
        if "step" in state:
            tensors["step"] = state["step"]
    return tensors


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Fill the optimizer with tensors named as by `optimizer_tensors`; groups keep their settings.

    Raises UsageError when a parameter's state is missing or of another shape.
    """
    if not tensors:
        return

    def stored(name: str, shape: torch.Size, device: torch.device) -> Tensor:
        if name not in tensors or tensors[name].shape != shape:
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise UsageError(
                f"the checkpoint's optimizer state holds {found} for {name}, the model needs {tuple(shape)}; "
                "load a checkpoint of the same shape"
            )
        return tensors[name].to(device, torch.float32, copy=True)

    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            "step": stored("step", torch.Size(), parameter.device),
            **{moment: stored(f"{moment}.{name}", parameter.shape, parameter.device) for moment in MOMENTS},
        }
