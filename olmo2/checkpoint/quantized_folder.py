"""Model folders with quantized weights, in compressed-tensors' format: written, and opened to generate from."""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from olmo2.base.errors import UsageError
from olmo2.base.files import read_json, write_json
from olmo2.checkpoint.load import CONFIG_FILE, empty_model, require_names
from olmo2.checkpoint.quantized_config import HEAD, KEY, quantization_config, schemes_of
from olmo2.checkpoint.tensors import DTYPES, StoredTensors, write_planned
from olmo2.model.quantized import QuantizedLinear, Scheme, linear_names, make_room, quantize
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer

SHAPE = "weight_shape"  # a tensor that the format has beside each packed weight, and that says nothing new


def stored_schemes(folder: Path, config: ModelConfig) -> dict[str, Scheme]:
    """Return how the linear layers of the model in a folder are quantized; empty if they are not."""
    values = read_json(folder / CONFIG_FILE)
    if not isinstance(values, Mapping) or values.get(KEY) is None:
        return {}
    return schemes_of(values, linear_names(empty_model(config, torch.float32, "meta")), str(folder / CONFIG_FILE))


def quantize_layers(model: Transformer, blocks: Scheme, head: Scheme | None) -> None:
    """Replace the weights of a model's blocks, and of its output matrix if `head` says how, in place."""
    for name in linear_names(model):
        scheme = head if name == HEAD else blocks
        if scheme is None:
            continue
        weight = model.get_submodule(name).weight.detach()  # type: ignore[operator]
        packed, scale = quantize(weight, scheme, name)
        make_room(model, {name: scheme}, weight.dtype)
        made = model.get_submodule(name)
        made.weight_packed, made.weight_scale = packed, scale


def write_quantized_weights(folder: Path, model: Transformer, blocks: Scheme, head: Scheme | None) -> None:
    """Write the weights of a quantized model into an unfinished folder whose descriptions are written, and say how."""
    tensors: dict[str, Tensor] = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear):
            tensors[f"{name}.{SHAPE}"] = torch.tensor([module.out_features, module.in_features])
    num_bytes = {name: tensor.numel() * tensor.itemsize for name, tensor in tensors.items()}
    write_planned(folder, num_bytes, tensors.__getitem__)
    config = read_json(folder / CONFIG_FILE)
    write_json(folder / CONFIG_FILE, config | {KEY: quantization_config(blocks, head)})


def load_quantized(
    folder: Path,
    stored: StoredTensors,
    config: ModelConfig,
    schemes: Mapping[str, Scheme],
    *,
    dtype: torch.dtype | None,
    device: torch.device | str,
) -> Transformer:
    """Load a quantized model. Raises UsageError unless the folder holds exactly the tensors that it needs."""
    model = empty_model(config, torch.float32, "meta")
    make_room(model, schemes, torch.float32)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    there = {name: stored.shape(name) for name in stored if not name.endswith(f".{SHAPE}")}
    require_names(folder, there, wanted, "the quantized model")
    for name, shape in wanted.items():
        is_packed = name.endswith("weight_packed")
        if there[name] != shape or (stored.dtype_name(name) == "I32") != is_packed:
            kind = f"{there[name]} of {stored.dtype_name(name)}"
            raise UsageError(f"{folder}: {name} is {kind}, but the quantized model needs {shape}")
    floats = [DTYPES[stored.dtype_name(name)] for name in wanted if stored.dtype_name(name) in DTYPES]
    model = model.to(dtype or reduce(torch.promote_types, floats)).to_empty(device=device)
    state = model.state_dict()
    for name in wanted:
        state[name].copy_(stored[name])
    return model
