"""Unsharded checkpoints of the old OLMo trainer, as the published 1B, 7B and 13B models were trained with.

A folder such as step1000-unsharded holds config.yaml, model and optim (.pt, or .safetensors, which wins), and train.pt.
Its safetensors files name their tensors by base64-encoded pickles of (path of keys, is the value itself pickled).

Source   allenai/OLMo olmo/checkpoint.py, olmo/safetensors_util.py, olmo/model.py, scripts/convert_olmo2_to_hf.py
"""

import base64
from pathlib import Path
from typing import Any

from torch import Tensor

from olmo2.base.config import read_yaml
from olmo2.base.errors import RunError, UsageError
from olmo2.checkpoint.tensors import StoredTensors
from olmo2.model.sizes import ModelConfig
from olmo2.optim.adamw import MOMENTS
from olmo2.release.foreign import (
    DOLMA2,
    ForeignCheckpoint,
    ForeignTraining,
    look_up,
    model_config,
    require_constants,
    required,
    required_int,
    single_step,
    trainer_counts,
)
from olmo2.release.foreign_pickle import load_records, load_torch_file
from olmo2.release.renaming import ForeignTensors, Header, Layout, RenamedTensors

CONFIG_FILE = "config.yaml"
TRAINER_FILE = "train.pt"
CONSTANTS: dict[str, tuple[Any, ...]] = {  # None where the trainer's own default is that of OLMo 2
    "model.weight_tying": (False,),
    "model.norm_after": (True,),
    "model.attention_layer_norm": (True,),
    "model.attention_layer_norm_with_affine": (True, None),
    "model.layer_norm_type": ("rms",),
    "model.layer_norm_with_affine": (True, None),
    "model.include_bias": (False,),
    "model.bias_for_layer_norm": (False, None),
    "model.activation_type": ("swiglu", None),
    "model.block_type": ("sequential", None),
    "model.block_group_size": (1, None),
    "model.rope": (True,),
    "model.alibi": (False, None),
    "model.clip_qkv": (None,),
    "model.embedding_layer_norm": (False, None),
    "model.scale_logits": (False, None),
    "model.multi_query_attention": (None, False),
    "model.attention_dropout": (0.0,),
    "model.residual_dropout": (0.0,),
    "model.embedding_dropout": (0.0,),
}
State = dict[tuple[Any, ...], Any]  # path of keys -> tensor or plain value


def is_legacy(folder: Path) -> bool:
    """Whether `folder` was written by the old OLMo trainer."""
    return (folder / CONFIG_FILE).is_file() and not (folder / "config.json").exists()


def open_legacy(folder: Path, *, with_optimizer: bool) -> ForeignCheckpoint:
    """Open an unsharded checkpoint. Raises UsageError for a sharded one and for what is not OLMo 2."""
    values = read_yaml(folder / CONFIG_FILE)
    state = read_state(folder, "model")
    if state is None:
        raise UsageError(
            f"{folder} holds no model.pt and no model.safetensors: sharded checkpoints of the old OLMo trainer cannot "
            "be read; choose a folder that ends with -unsharded, or unshard it with that trainer's scripts/unshard.py"
        )
    config = read_config(values, str(folder / CONFIG_FILE))
    layout = fused_layout(config.num_hidden_layers)
    named = {clean_name(path[0]): value for path, value in state.items() if len(path) == 1}
    weights = RenamedTensors(in_memory(named, f"{folder}: the model"), layout, config)
    eos_id = look_up(values, "model.eos_token_id")
    training = read_training(folder, layout, config) if with_optimizer else None
    return ForeignCheckpoint(str(folder), config, weights, weights.dtype, DOLMA2, eos_id, training)


def read_config(values: Any, source: str) -> ModelConfig:
    """Return the shape that config.yaml describes; its MLP sizes count gate and up projection together."""
    required(values, "model", source)
    require_constants(values, CONSTANTS, source)
    hidden_size = required_int(values, "model.d_model", source)
    if look_up(values, "model.mlp_hidden_size") is not None:
        fused_size = required_int(values, "model.mlp_hidden_size", source)
    else:
        fused_size = required_int(values, "model.mlp_ratio", source) * hidden_size
    if fused_size % 2:
        raise UsageError(f"{source}: model.mlp_hidden_size {fused_size} must be even: it counts gate and up projection")
    num_heads = required_int(values, "model.n_heads", source)
    embedding_size = look_up(values, "model.embedding_size")
    return model_config(
        source,
        hidden_size=hidden_size,
        intermediate_size=fused_size // 2,
        num_hidden_layers=required(values, "model.n_layers", source),
        num_attention_heads=num_heads,
        num_key_value_heads=look_up(values, "model.n_kv_heads") or num_heads,
        vocab_size=embedding_size or required(values, "model.vocab_size", source),
        max_position_embeddings=required(values, "model.max_sequence_length", source),
        rope_theta=required(values, "model.rope_theta", source),
        rms_norm_eps=required(values, "model.layer_norm_eps", source),
        initializer_range=look_up(values, "model.init_std") or 0.02,
    )


def fused_layout(num_layers: int) -> Layout:
    """Return the old trainer's tensors, and which of ours are stacked in each."""
    layout: dict[str, tuple[str, ...]] = {
        "transformer.wte.weight": ("model.embed_tokens.weight",),
        "transformer.ln_f.weight": ("model.norm.weight",),
        "transformer.ff_out.weight": ("lm_head.weight",),
    }
    for layer in range(num_layers):
        parts = {
            "att_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            "attn_out": ("self_attn.o_proj",),
            "q_norm": ("self_attn.q_norm",),
            "k_norm": ("self_attn.k_norm",),
            "attn_norm": ("post_attention_layernorm",),
            "ff_proj": ("mlp.up_proj", "mlp.gate_proj"),
            "ff_out": ("mlp.down_proj",),
            "ff_norm": ("post_feedforward_layernorm",),
        }
        for theirs, ours in parts.items():
            names = tuple(f"model.layers.{layer}.{name}.weight" for name in ours)
            layout[f"transformer.blocks.{layer}.{theirs}.weight"] = names
    return layout


def read_training(folder: Path, layout: Layout, config: ModelConfig) -> ForeignTraining | None:
    """Return the moments and counts of a checkpoint; None if it has no optimizer state, or was saved before a step."""
    state = read_state(folder, "optim")
    source = f"{folder}: the optimizer"
    names = parameter_names(state.get(("param_groups",)), source) if state else {}
    entries = {path[1:]: value for path, value in (state or {}).items() if path[0] == "state" and len(path) == 3}
    if not entries:
        return None
    moments = {}
    for moment in MOMENTS:
        of_moment = {name: value for (name, key), value in entries.items() if key == moment}
        tensors = {names.get(name) or clean_name(name): value for name, value in of_moment.items()}
        moments[moment] = RenamedTensors(in_memory(tensors, f"{source}'s {moment}"), layout, config)
    steps = [value for (_, key), value in entries.items() if key == "step"]
    path = folder / TRAINER_FILE
    if not path.is_file():
        raise RunError(f"{path} is missing, which counts the steps; copy it too, or import with --optimizer=false")
    step, tokens = trainer_counts(load_torch_file(path, str(path)), str(path))
    return ForeignTraining(moments, single_step(steps, source), step, tokens)


def parameter_names(groups: Any, source: str) -> dict[Any, str]:
    """Return parameter names by the numbers under which training without FSDP stores their state."""
    try:
        pairs = [pair for group in groups or () for pair in zip(group["params"], group["param_names"], strict=True)]
        return {number: clean_name(name) for number, name in pairs if isinstance(number, int)}
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{source}'s param_groups do not name its parameters; import with --optimizer=false") from None


def clean_name(name: Any) -> str:
    """Return a parameter's name without what wrapping the model for FSDP or DDP added to it."""
    return str(name).replace("_fsdp_wrapped_module.", "").removeprefix("module.")


def in_memory(tensors: dict[str, Any], source: str) -> ForeignTensors:
    """Return tensors that are there already, or mapped into memory; what is no tensor is left out."""
    found = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    headers = {name: Header(tuple(tensor.shape), tensor.dtype) for name, tensor in found.items()}
    return ForeignTensors(source, headers, tensors.__getitem__)


def read_state(folder: Path, name: str) -> State | None:
    """Return what a .safetensors or .pt file holds; None if there is neither."""
    path = folder / f"{name}.safetensors"
    if path.is_file():
        state: State = {}
        stored = StoredTensors([path])
        for encoded in stored:
            keys, is_pickled = decode_name(encoded, str(path))
            value: Any = stored[encoded]
            state[keys] = load_records(value.numpy().tobytes(), str(path), {}) if is_pickled else value
        return state
    path = folder / f"{name}.pt"
    return flatten(load_torch_file(path, str(path))) if path.is_file() else None


def decode_name(encoded: str, source: str) -> tuple[tuple[Any, ...], bool]:
    """Return the keys that lead to a stored tensor, and whether it is a pickle; a plain name is one key."""
    if "." in encoded:  # never in base64
        return (encoded,), False
    try:
        keys, is_pickled = load_records(base64.urlsafe_b64decode(encoded), source, {})
    except (TypeError, ValueError):
        raise RunError(f"{source}: {encoded} is no name that the old OLMo trainer writes; copy it again") from None
    return tuple(keys), bool(is_pickled)


def flatten(values: Any) -> State:
    """Return nested dicts as one, whose keys are the paths of keys."""
    flat: State = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        inner = flatten(value) if isinstance(value, dict) else {(): value}
        flat |= {(key, *path): leaf for path, leaf in inner.items()}
    return flat
