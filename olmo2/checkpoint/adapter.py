"""An adapter as a folder in PEFT's format, written and read: adapter_config.json and adapter_model.safetensors.

Source   PEFT 0.21, `LoraConfig` and `PeftModel.save_pretrained`; its names stand behind ``base_model.model.``
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from olmo2.base.errors import UsageError
from olmo2.base.files import read_json, write_json
from olmo2.checkpoint.keep import CONTENTS_FILE, TRAINER_FOLDER, latest_checkpoint
from olmo2.checkpoint.load import ADAPTER_CONFIG_FILE, CONFIG_FILE, require_complete
from olmo2.checkpoint.revision import checkpoint_of_run, split_revision
from olmo2.checkpoint.reward_start import SCORE_WEIGHT
from olmo2.checkpoint.tensors import DTYPES, StoredTensors
from olmo2.model.init import SCORE
from olmo2.model.lora import PROJECTIONS, LoraSettings, trained_parameters
from olmo2.model.transformer import Transformer

ADAPTER = "adapter_model"  # stem of the file's name: PEFT knows one file only
ADAPTER_FILE = f"{ADAPTER}.safetensors"
PREFIX = "base_model.model."
SCORES = {SCORE, "classifier"}  # what PEFT calls the head of a model that classifies, whichever it has
LETTERS = ("A", "B")
FINGERPRINT_NUMBERS = 1024  # of a weight's first row
# What PEFT's file says that does not change the product. All else must be unset, so that no kind of adapter that
# this file does not know is ever merged as if it were a plain one.
HARMLESS = {
    *("auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "layers_pattern", "revision"),
    *("layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core", "peft_type", "peft_version", "r"),
    *("qalora_group_size", "runtime_config", "target_modules", "task_type", "use_rslora", "init_lora_weights", "bias"),
    *("eva_config", "ephemeral_gpu_offload"),
}
HARMLESS_BEGINNINGS = (True, False, "gaussian", "eva", "orthogonal")  # the others change the model's own weights


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk."""

    folder: Path
    base: str | None  # the model that it was trained on, as it was called then
    scale: float  # of B·A
    tensors: StoredTensors
    targets: dict[str, tuple[str, str]]  # weight of the model -> names of A and B in the file
    has_score: bool  # whether it brings the head of a reward model along


def write_adapter_config(folder: Path, lora: LoraSettings, base: str | None, *, has_score: bool) -> None:
    """Write what PEFT wants to know of an adapter to the model `base`; the head of a reward model comes along whole."""
    values = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if has_score else "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.numerator,
        "lora_dropout": 0.0,
        "use_rslora": lora.is_rank_stabilized,
        "target_modules": lora.targets,
        "modules_to_save": [SCORE] if has_score else None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
    }
    write_json(folder / ADAPTER_CONFIG_FILE, values)


def adapter_tensors(model: Transformer) -> dict[str, Tensor]:
    """Return what is trained of a model under PEFT's names."""
    return {PREFIX + name: parameter.detach() for name, parameter in trained_parameters(model).items()}


def stored_adapter(folder: Path, model: Transformer) -> Iterator[tuple[str, Tensor]]:
    """Yield what a checkpoint holds of the trained part of `model`, under the model's names.

    Raises UsageError if names or shapes are not those of the model.
    """
    stored = StoredTensors([folder / ADAPTER_FILE])
    shapes = {PREFIX + name: tuple(parameter.shape) for name, parameter in trained_parameters(model).items()}
    found = {name: stored.shape(name) for name in stored}
    if found != shapes:
        name = next(name for name in [*shapes, *found] if shapes.get(name) != found.get(name))
        raise UsageError(
            f"{folder} was trained on a model of another shape than load_path names: {name} has shape "
            f"{found.get(name, 'of nothing')} there, {shapes.get(name, 'of nothing')} here"
        )
    for name in stored:
        yield name.removeprefix(PREFIX), stored[name]


def base_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return a name for a model's own weights, by a piece of each in bfloat16: the same in whatever dtype they lie.

    The output matrix is left out: a reward model has another one than the model that it comes from.
    """
    digest = hashlib.sha256()
    for name in sorted(name for name in weights if name.startswith("model.") and ".lora_" not in name):
        weight = weights[name].detach()
        piece = weight.reshape(-1, weight.shape[-1])[0, :FINGERPRINT_NUMBERS].to("cpu", torch.bfloat16)
        digest.update(f"{name} {tuple(weight.shape)}".encode() + piece.contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def find_adapter_folder(name: str) -> Path:
    """Return the folder of an adapter, by its path, that of its run, or RUN@REVISION. Raises UsageError if it is none.

    A checkpoint that is damaged is a RunError.
    """
    path, revision = split_revision(name)
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UsageError(f"adapter: there is no folder {name}; one on a hub or server is to be downloaded first")
    if revision is not None:
        folder = checkpoint_of_run(folder, revision)
    elif not (folder / ADAPTER_CONFIG_FILE).exists() and not (folder / CONFIG_FILE).exists():
        folder = latest_checkpoint(folder) or folder
    if (folder / CONTENTS_FILE).exists() or (folder / TRAINER_FOLDER).exists():
        require_complete(folder)
    if not (folder / ADAPTER_CONFIG_FILE).is_file():
        what = "a whole model: nothing is to be merged" if (folder / CONFIG_FILE).is_file() else "no adapter"
        raise UsageError(f"adapter: {folder} is {what} (it holds no {ADAPTER_CONFIG_FILE})")
    return folder


def open_adapter(folder: Path) -> Adapter:
    """Open an adapter that PEFT or a run of ours wrote. Raises UsageError naming what is not plain LoRA in it."""
    source = folder / ADAPTER_CONFIG_FILE
    values = read_json(source)
    if not isinstance(values, dict) or values.get("peft_type") != "LORA":
        kind = values.get("peft_type") if isinstance(values, dict) else values
        raise UsageError(f"{source}: peft_type is {kind!r}; only 'LORA' can be merged")
    require_plain(values, source)
    rank, alpha = positive(values, "r", source), positive(values, "lora_alpha", source)
    if not (folder / ADAPTER_FILE).is_file() and (folder / f"{ADAPTER}.bin").is_file():
        raise UsageError(f"{folder}: {ADAPTER}.bin is a pickle file, which is never read; store it as {ADAPTER_FILE}")
    tensors = StoredTensors([folder / ADAPTER_FILE])
    base = values.get("base_model_name_or_path")
    return Adapter(
        folder,
        base if isinstance(base, str) and base else None,
        alpha / (math.sqrt(rank) if values.get("use_rslora") else rank),
        tensors,
        targets_of(folder / ADAPTER_FILE, tensors, int(rank)),
        has_score=PREFIX + SCORE_WEIGHT in tensors,
    )


def positive(values: dict[str, Any], name: str, source: Path) -> float:
    """Return a number above 0 from adapter_config.json; UsageError if it is none."""
    value = values.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise UsageError(f"{source}: {name} must be a number above 0, not {value!r}")
    return float(value)


def require_plain(values: dict[str, Any], source: Path) -> None:
    """Raise UsageError naming the first setting of a PEFT adapter with which B·A is not all that it adds."""
    unknown = {name: value for name, value in values.items() if name not in HARMLESS and value}
    if values.get("task_type") == "SEQ_CLS" and set(values.get("modules_to_save") or ()) <= SCORES:
        unknown.pop("modules_to_save", None)
    if values.get("bias", "none") != "none":
        unknown["bias"] = values["bias"]
    if values.get("init_lora_weights", True) not in HARMLESS_BEGINNINGS:
        unknown["init_lora_weights"] = values["init_lora_weights"]
    for name, value in unknown.items():
        raise UsageError(
            f"{source}: {name} is {value!r}; only plain LoRA on the projections of the blocks can be merged here; "
            "merge this one with PEFT's merge_and_unload"
        )


def targets_of(file: Path, tensors: StoredTensors, rank: int) -> dict[str, tuple[str, str]]:
    """Return which weights an adapter changes by which two tensors; UsageError for anything else in its file."""
    found: dict[str, dict[str, str]] = {}
    for name in (name for name in tensors if name != PREFIX + SCORE_WEIGHT):
        module, dot, letter = name.removeprefix(PREFIX).removesuffix(".weight").rpartition(".lora_")
        is_known = name.startswith(PREFIX) and name.endswith(".weight") and dot and letter in LETTERS
        if not is_known or module.rpartition(".")[2] not in PROJECTIONS:
            raise UsageError(
                f"{file}: {name} is no part of an adapter to a projection of a block ({', '.join(PROJECTIONS)}); merge "
                "this one with PEFT's merge_and_unload"
            )
        if tensors.dtype_name(name) not in DTYPES:
            raise UsageError(f"{file}: {name} is stored as {tensors.dtype_name(name)}; {', '.join(DTYPES)} can be read")
        shape = tensors.shape(name)
        if len(shape) != 2 or shape[LETTERS.index(letter)] != rank:
            raise UsageError(f"{file}: {name} has shape {shape}, which does not fit r {rank} of {ADAPTER_CONFIG_FILE}")
        found.setdefault(f"{module}.weight", {})[letter] = name
    for weight, names in found.items():
        if len(names) != len(LETTERS):
            raise UsageError(
                f"{file} is incomplete: of the adapter to {weight} it holds {', '.join(names.values())} alone"
            )
    if not found:
        raise UsageError(f"{file} holds no tensors")
    return {weight: (names["A"], names["B"]) for weight, names in found.items()}
