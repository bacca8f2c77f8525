"""Matrix products of the blocks in float8: weights, moments and all other arithmetic stay as they are.

Of each product (forward, and both of the backward) the two factors are rounded to 8 bits just before it, each scaled as
a whole so that its largest value fits: activations and weights with 3 bits of mantissa (e4m3), gradients with 2 (e5m2).
The output layer is not in a block. Names and checkpoints do not change: a run may go on with or without. It needs
compiled blocks to be fast, where finding the scales and rounding are one with what comes before.

Source   torchao.float8 with its default, dynamic tensorwise scaling (arXiv 2209.05433)
"""

import logging
from typing import Any

import torch
from torch import nn

from olmo2.base.errors import UsageError
from olmo2.model.transformer import Transformer

MULTIPLE = 16  # of which both sizes of a weight must be one, on every device: the products' kernels ask for it
MIN_CAPABILITY = (8, 9)  # of CUDA devices: Ada and Hopper are the first with float8


def use_float8(model: Transformer, device: torch.device, *, tensor_ranks: int) -> None:
    """Let the blocks of `model` multiply in float8, in place, where their sizes allow; before anything is spread.

    Raises UsageError if the device has no float8, torchao is not installed, or no size allows it.
    """
    require_float8(device)
    convert(model, tensor_ranks=tensor_ranks)


def require_float8(device: torch.device) -> None:
    """Raise UsageError unless the device multiplies float8."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= MIN_CAPABILITY:
        return
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"a device of type {device.type}"
    raise UsageError(
        f"parallel.float8: {name} has no products in float8, which NVIDIA's have from compute capability "
        f"{MIN_CAPABILITY[0]}.{MIN_CAPABILITY[1]} on (L40, H100, ...); set it to false"
    )


def convert(model: Transformer, *, tensor_ranks: int = 1, emulate: bool = False) -> None:
    """Exchange the linear layers of the blocks; `emulate` computes with the rounded factors in float32, anywhere."""
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)  # importing torchao warns of torchao's own code
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError:
        raise UsageError("parallel.float8 needs the package torchao: pip install 'olmo2[cuda]'") from None
    multiple = MULTIPLE * tensor_ranks

    def fits(module: Any, name: str) -> bool:
        return not any(size % multiple for size in module.weight.shape)

    blocks = model.model.layers
    if not any(fits(module, "") for module in blocks.modules() if isinstance(module, nn.Linear)):
        raise UsageError(
            f"parallel.float8: no weight of the blocks has sizes that are multiples of {multiple}; set it to false"
        )
    # a product over tokens, that of a weight's gradient, is padded where a micro-batch is no multiple of 16 of them
    config = Float8LinearConfig(emulate=emulate, pad_inner_dim=True)
    convert_to_float8_training(blocks, module_filter_fn=fits, config=config)
