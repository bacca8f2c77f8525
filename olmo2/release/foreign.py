"""What an importer makes of a foreign checkpoint, and how it reads a foreign config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from olmo2.base.errors import RunError, UsageError
from olmo2.checkpoint.hf_config import MODEL_TYPE, config_from_hf
from olmo2.model.sizes import ModelConfig
from olmo2.release.renaming import RenamedTensors

DOLMA2 = "allenai/dolma2-tokenizer"
COUNTS = ("global_step", "global_train_tokens_seen")


@dataclass(frozen=True)
class ForeignTraining:
    """Where the training of a foreign checkpoint stood."""

    moments: Mapping[str, RenamedTensors]  # exp_avg and exp_avg_sq, each by our names
    optimizer_step: float  # as the optimizer counted
    step: int  # as the trainer counted
    tokens: int


@dataclass(frozen=True)
class ForeignCheckpoint:
    """A foreign checkpoint in our terms; its tensors are read when they are asked for."""

    source: str
    config: ModelConfig
    weights: Mapping[str, Tensor]
    dtype: torch.dtype  # of the weights, as stored
    tokenizer: str  # to load if the user names no other
    eos_id: int | None = None  # what the model was trained with, if the source says so
    training: ForeignTraining | None = None


def look_up(values: Any, key: str) -> Any:
    """Return the value under a dotted key; None if there is none."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def required(values: Any, key: str, source: str) -> Any:
    """Return the value under a dotted key; UsageError if there is none."""
    value = look_up(values, key)
    if value is None:
        raise UsageError(f"{source}: {key} is missing")
    return value


def required_int(values: Any, key: str, source: str) -> int:
    """Return the whole number under a dotted key; UsageError if there is none."""
    value = required(values, key, source)
    if type(value) is not int:
        raise UsageError(f"{source}: {key} must be a whole number, not {value!r}")
    return value


def require_constants(values: Any, constants: Mapping[str, tuple[Any, ...]], source: str) -> None:
    """Raise UsageError at the first dotted key whose value is none of those that OLMo 2 has; a missing key is None."""
    for key, allowed in constants.items():
        if look_up(values, key) not in allowed:
            raise UsageError(
                f"{source}: {key} is {look_up(values, key)!r}, but in OLMo 2 it is always {allowed[0]!r}; "
                "only OLMo 2 models can be imported"
            )


def model_config(source: str, **shape: Any) -> ModelConfig:
    """Return the shape given by our names; UsageError naming `source` if it is impossible."""
    return config_from_hf({"model_type": MODEL_TYPE} | shape, source)


def single_step(steps: list[Any], source: str) -> float:
    """Return the number of steps that the optimizer counted, which must be one for all parameters."""
    distinct = {float(step) for step in steps if isinstance(step, int | float | Tensor)}
    if len(distinct) != 1:
        raise RunError(
            f"{source} counted {sorted(distinct) or 'no'} steps, which must be one number for all parameters; "
            "import with --optimizer=false"
        )
    return distinct.pop()


def trainer_counts(state: Any, source: str) -> tuple[int, int]:
    """Return the steps and tokens of a trainer's state, which both of the OLMo trainers store under the same names."""
    counts = [count for name in COUNTS if type(count := look_up(state, name)) is int and count > 0]
    if len(counts) != len(COUNTS):
        raise RunError(f"{source} holds no {' and '.join(COUNTS)} above 0; import with --optimizer=false")
    step, tokens = counts
    return step, tokens
