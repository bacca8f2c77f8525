"""Compute activations again on the way back instead of keeping them: less memory for more arithmetic."""

from functools import cache
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from olmo2.model.transformer import Transformer
from olmo2.parallel.mesh import Recompute


def recompute_activations(model: Transformer, choice: Recompute) -> None:
    """Let the chosen parts of `model` keep only their input, in place; results stay bit for bit the same.

    Blocks that are to be compiled are compiled before this, so that what is run again is the compiled code.
    """
    blocks: list[Any] = list(model.model.layers)
    chosen: dict[Recompute, list[Any]] = {
        "none": [],
        "mlp": [block.mlp for block in blocks],
        "alternate": blocks[1::2],
        "all": blocks,
    }
    for module in chosen[choice]:
        kind: Any = type(module)
        module.__class__ = recomputed(kind)


@cache
def recomputed(kind: Any) -> Any:
    """Return the module class `kind` with a training forward that keeps its inputs alone; one for each kind."""

    class Recomputed(kind):  # type: ignore[misc]
        def forward(self, *inputs: Any) -> Any:
            if not torch.is_grad_enabled():
                return super().forward(*inputs)
            return checkpoint(super().forward, *inputs, use_reentrant=False, preserve_rng_state=False)

    Recomputed.__name__ = Recomputed.__qualname__ = f"Recomputed{kind.__name__}"
    return Recomputed
