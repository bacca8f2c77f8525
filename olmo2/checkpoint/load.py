"""Reading a checkpoint or model folder back: strictly, and nothing but whole files."""

from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from olmo2.base.errors import RunError, UsageError
from olmo2.base.files import read_json
from olmo2.checkpoint.hf_config import config_from_hf
from olmo2.checkpoint.keep import CONTENTS_FILE, TRAINER_FOLDER, damage, latest_checkpoint
from olmo2.checkpoint.names import parse_checkpoint_name
from olmo2.checkpoint.run_state import RunState, read_run_state
from olmo2.checkpoint.tensors import StoredTensors, open_weights, planned_files
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer

CONFIG_FILE = "config.json"
ADAPTER_CONFIG_FILE = "adapter_config.json"  # PEFT's, of adapters
OPTIMIZER = "optimizer"  # stem of the files with the moments


def require_complete(folder: Path) -> None:
    """Raise UsageError if there is no checkpoint at `folder`, RunError naming another one if it is damaged."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"there is no checkpoint {folder}")
    reason = damage(folder)
    if reason is None:
        return
    whole = latest_checkpoint(folder.parent)
    advice = f"use {whole}, the latest complete one beside it" if whole else "no complete one is beside it"
    raise RunError(f"checkpoint {folder} is torn ({reason}); {advice}, or copy it again, or delete it")


def require_undamaged(folder: Path) -> None:
    """Raise unless `folder` is there and, if it is a checkpoint, a complete one."""
    if not folder.is_dir():
        raise UsageError(f"there is no model folder {folder}")
    if (folder / CONTENTS_FILE).exists() or (folder / TRAINER_FOLDER).exists():
        require_complete(folder)


def require_model_folder(folder: Path) -> None:
    """Raise unless `folder` is a model folder and, if it is a checkpoint, a complete one."""
    require_undamaged(folder)
    if (folder / CONFIG_FILE).is_file():
        return
    if (folder / ADAPTER_CONFIG_FILE).is_file():
        raise UsageError(
            f"{folder} is an adapter, not a whole model; make it one first: olmo2 merge {folder} --output=FOLDER"
        )
    checkpoint = latest_checkpoint(folder)
    if checkpoint is not None:
        raise UsageError(f"{folder} is a run, not a model folder; choose one of its checkpoints, such as {checkpoint}")
    for path in sorted(folder.iterdir()):
        if parse_checkpoint_name(path.name) is not None and path.is_dir():
            require_complete(path)  # a run of torn checkpoints: say what is wrong with them
    raise UsageError(f"{folder} is not a model folder: it holds no {CONFIG_FILE} and no complete checkpoint")


def read_model_config(folder: Path) -> ModelConfig:
    """Read the shape of the model in a folder."""
    return config_from_hf(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))


def load_weights(folder: Path, model: Transformer) -> None:
    """Fill every weight of `model` in place from a model folder, converted to the model's dtype.

    Raises UsageError if a tensor is missing, unknown or of another shape, RunError if the folder is damaged.
    """
    folder = Path(folder)
    require_model_folder(folder)
    stored = open_weights(folder)
    check_weights(folder, stored, model.config)
    weights = model.state_dict()
    for name in stored:
        weights[name].copy_(stored[name])


def check_weights(folder: Path, stored: StoredTensors, config: ModelConfig) -> None:
    """Raise UsageError unless the names and shapes of the weights in `folder` are those of a model of `config`."""
    weights = weight_shapes(config)
    for name in (name for name in stored if name in weights):
        shape, wanted = stored.shape(name), tuple(weights[name])
        if shape != wanted:
            reason = (
                describe_differences(read_model_config(folder), config) or f"its {CONFIG_FILE} does not fit its weights"
            )
            raise UsageError(f"{folder}: {name} has shape {shape}, but the model needs {wanted} ({reason})")
    require_names(folder, stored, weights, "the model")


def require_names(folder: Path, there: Collection[str], wanted: Collection[str], model: str) -> None:
    """Raise UsageError unless the tensors in a folder are those that `model`, as it is called, wants."""
    if missing := [name for name in wanted if name not in there]:
        raise UsageError(f"{folder} lacks {describe_names(missing)}, which {model} needs")
    if unknown := [name for name in there if name not in wanted]:
        raise UsageError(f"{folder} holds {describe_names(unknown)}, which {model} does not have")


def describe_names(names: list[str]) -> str:
    """Return the first few of `names`, and how many more there are."""
    more = f" and {len(names) - 3} more tensors" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def describe_differences(there: ModelConfig, here: ModelConfig) -> str:
    """Return the settings in which two shapes differ, such as ``hidden_size 64 against 128``; empty if in none."""
    pairs = ((field.name, getattr(there, field.name), getattr(here, field.name)) for field in fields(ModelConfig))
    return ", ".join(f"{name} {theirs} against {ours}" for name, theirs, ours in pairs if theirs != ours)


def load_trainer_state(folder: Path) -> tuple[dict[str, Tensor], RunState]:
    """Return a complete checkpoint's optimizer tensors, on the CPU, and the state that was saved with them.

    The tensors are backed by the file until they are written to. Raises UsageError for a folder without trainer
    state, RunError for a damaged one.
    """
    folder = Path(folder)
    require_undamaged(folder)
    if not (folder / TRAINER_FOLDER).exists():
        raise UsageError(f"{folder} holds a model without trainer state, so there is no run to go on with")
    tensors = StoredTensors(planned_files(folder / TRAINER_FOLDER, OPTIMIZER))
    return dict(tensors), read_run_state(folder / TRAINER_FOLDER)


def weight_shapes(config: ModelConfig) -> dict[str, torch.Size]:
    """Return the shape of every weight of a model, by name."""
    return {name: tensor.shape for name, tensor in empty_model(config, torch.float32, "meta").state_dict().items()}


def empty_model(config: ModelConfig, dtype: torch.dtype, device: torch.device | str) -> Transformer:
    """Return a model whose weights are allocated as `dtype` on `device`, and hold anything."""
    with torch.device("meta"):
        model = Transformer(config)
    assert not list(model.buffers()), "to_empty would leave buffers without their values"
    return model.to(dtype).to_empty(device=device)
