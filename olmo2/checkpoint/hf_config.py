"""The shape of a model as Hugging Face's config.json and back."""

from dataclasses import asdict, fields
from typing import Any

import torch

from olmo2.base.errors import UsageError
from olmo2.model.sizes import HeadKind, ModelConfig
from olmo2.tokenizer.tokenizer import Tokenizer

MODEL_TYPE = "olmo2"
ARCHITECTURES: dict[HeadKind, str] = {
    "language_model": "Olmo2ForCausalLM",
    "reward": "Olmo2ForSequenceClassification",
}
LABEL = "reward"  # what transformers calls the one score of a reward model
MOST_LAYERS = 1024
CONSTANTS: dict[str, Any] = {  # what transformers lets vary and OLMo 2 does not
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": False,
}


def config_to_hf(config: ModelConfig, tokenizer: Tokenizer, dtype: torch.dtype) -> dict[str, Any]:
    """Return the content of config.json for weights stored as `dtype`.

    RoPE's base and the dtype stand there under both of their names: transformers 5 reads `rope_parameters` and `dtype`,
    transformers 4 reads `rope_theta`, for which it would otherwise silently take 10,000, and `torch_dtype`.
    """
    dtype_name = str(dtype).removeprefix("torch.")
    shape = asdict(config)
    head = shape.pop("head")
    values = {
        "architectures": [ARCHITECTURES[head]],
        "model_type": MODEL_TYPE,
        **shape,
        **({"id2label": {"0": LABEL}, "label2id": {LABEL: 0}} if head == "reward" else {}),
        **CONSTANTS,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "use_cache": True,
        **token_ids(tokenizer),
        "dtype": dtype_name,
        "torch_dtype": dtype_name,
    }
    return dict(sorted(values.items()))


def generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the content of generation_config.json: where generation stops and what it pads with."""
    ends = tokenizer.end_ids
    return {**token_ids(tokenizer), "eos_token_id": ends[0] if len(ends) == 1 else list(ends)}


def token_ids(tokenizer: Tokenizer) -> dict[str, int | None]:
    """Return the ids of the control tokens that transformers wants to know of."""
    return {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}


def config_from_hf(values: Any, source: str) -> ModelConfig:
    """Return the shape that the config.json `values` describe, written by transformers 4, 5 or by us.

    `source` is named in errors. Keys beyond the shape are ignored, code that a folder brings along (auto_map) included.
    Raises UsageError for another architecture, a missing key, a wrong type, and variants that OLMo 2 does not have.
    """
    model_type = values.get("model_type") if isinstance(values, dict) else None
    if model_type != MODEL_TYPE:
        raise UsageError(f"{source}: model_type is {model_type!r}; only {MODEL_TYPE!r} models can be read")
    for name, constant in CONSTANTS.items():
        if values.get(name, constant) != constant:
            raise UsageError(f"{source}: {name} is {values[name]!r}, but in OLMo 2 it is always {constant!r}")
    values = values | {"rope_theta": rope_theta(values, source)}
    if values.get("num_key_value_heads") is None:
        values["num_key_value_heads"] = values.get("num_attention_heads")
    shape: dict[str, Any] = {"head": head_kind(values, source)}
    for field in fields(ModelConfig):
        if field.name == "head":
            continue
        value = values.get(field.name)
        if value is None:
            raise UsageError(f"{source}: {field.name} is missing")
        is_number = isinstance(value, int if field.type is int else (int, float)) and not isinstance(value, bool)
        if not is_number or not abs(value) < 2**63:
            raise UsageError(f"{source}: {field.name} must be a number of type {field.type.__name__}, not {value!r}")  # type: ignore[union-attr]
        shape[field.name] = field.type(value)  # type: ignore[operator]
    if shape["num_hidden_layers"] > MOST_LAYERS:  # said before they are built
        raise UsageError(
            f"{source}: num_hidden_layers is {shape['num_hidden_layers']}; more than {MOST_LAYERS} is damage"
        )
    try:
        config = ModelConfig(**shape)
    except UsageError as error:
        raise UsageError(f"{source}: {str(error).replace('model.', '')}") from None
    if values.get("head_dim") not in (None, config.head_dim):
        raise UsageError(
            f"{source}: head_dim is {values['head_dim']}, but hidden_size / num_attention_heads is {config.head_dim}"
        )
    return config


def head_kind(values: dict[str, Any], source: str) -> HeadKind:
    """Return what the model puts out; UsageError for a classifier with several labels, two where none are named."""
    architectures = values.get("architectures")
    if not isinstance(architectures, list) or ARCHITECTURES["reward"] not in architectures:
        return "language_model"
    labels = values.get("id2label")
    num_labels = len(labels) if isinstance(labels, dict) else 2
    if num_labels != 1:
        raise UsageError(f"{source}: the model tells {num_labels} labels apart; a reward model has one score")
    return "reward"


def rope_theta(values: dict[str, Any], source: str) -> Any:
    """Return RoPE's base from `rope_parameters` (transformers 5) or `rope_theta` (transformers 4)."""
    bases = {"rope_theta": values.get("rope_theta")}
    for name in ("rope_parameters", "rope_scaling"):
        parameters = values.get(name) or {}
        if not isinstance(parameters, dict):
            raise UsageError(f"{source}: {name} must be an object, not {parameters!r}")
        kind = parameters.get("rope_type", parameters.get("type", "default"))
        if kind != "default":
            raise UsageError(f"{source}: RoPE of type {kind!r} is not part of OLMo 2; only 'default' can be read")
        bases[name] = parameters.get("rope_theta")
    known = {name: base for name, base in bases.items() if base is not None}
    if any(base != next(iter(known.values())) for base in known.values()):
        first, second = list(known.items())[:2]
        raise UsageError(f"{source}: {first[0]} is {first[1]}, but {second[0]} has {second[1]}; correct one of them")
    return next(iter(known.values()), None)
