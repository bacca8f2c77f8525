"""Checkpoints of OLMo-core, as the published 32B model was trained with.

A folder such as step1000 holds config.json, model_and_optim/ (a distributed checkpoint of torch) and train/rank*.pt. A
folder that is itself a distributed checkpoint, with config.json beside its .metadata, holds a model alone.

Source   allenai/OLMo-core src/olmo_core/train/checkpoint.py, nn/transformer/config.py, nn/hf/convert.py; in configs of
         the time of the 32B the block's `attention` stood where later ones have `sequence_mixer`
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from olmo2.base.errors import RunError, UsageError
from olmo2.base.files import read_json
from olmo2.model.sizes import ModelConfig
from olmo2.optim.adamw import MOMENTS
from olmo2.release.dcp import METADATA_FILE, DistributedCheckpoint
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
from olmo2.release.foreign_pickle import load_torch_file
from olmo2.release.renaming import ForeignTensors, Layout, RenamedTensors

CONFIG_FILE = "config.json"
TENSOR_FOLDER = "model_and_optim"
TRAINER_FILE = Path("train", "rank0.pt")
NORMS = ("rms", "fused_rms", "cute_rms")  # three programs for one formula
NORM_PATHS = ("block.layer_norm", "block.attention.qk_norm", "lm_head.layer_norm")
CONSTANTS: dict[
    str, tuple[Any, ...]
] = {  # inside the model section; None where OLMo-core's own default is that of OLMo 2
    "name": ("default", None),
    "tie_word_embeddings": (False, None),
    "embedding_norm": (None,),
    "embed_scale": (None, 1.0),
    "block_pattern": (None,),
    "block_overrides": (None, {}),
    "block.name": ("reordered_norm",),
    "block.dropout": (None, 0.0),
    "block.attention_residual_alpha": (None, 1.0),
    "block.feed_forward_residual_alpha": (None, 1.0),
    "block.feed_forward_moe": (None,),
    "block.feed_forward.name": ("default", None),
    "block.feed_forward.bias": (False,),
    "block.feed_forward.activation": ("silu", None),
    "block.attention.name": ("default", None),
    "block.attention.bias": (False,),
    "block.attention.gate": (None,),
    "block.attention.clip_qkv": (None,),
    "block.attention.dropout": (None, 0.0),
    "block.attention.sliding_window": (None,),
    "block.attention.use_head_qk_norm": (None, False),
    "block.attention.rope.name": ("default",),
    "block.attention.rope.scaling": (None,),
    "block.attention.rope.no_global_rope": (False, None),
    "block.attention.rope.partial_rotary_factor": (1.0, None),
    "lm_head.name": ("default", None),
    "lm_head.bias": (False,),
    **{f"{norm}.name": NORMS for norm in NORM_PATHS},
    **{f"{norm}.bias": (False,) for norm in NORM_PATHS},
    **{f"{norm}.elementwise_affine": (True, None) for norm in NORM_PATHS},
}
READ = {  # what read_config makes use of
    "d_model",
    "n_layers",
    "vocab_size",
    "init_std",
    "block.attention.n_heads",
    "block.attention.n_kv_heads",
    "block.attention.head_dim",
    "block.attention.rope.theta",
    "block.feed_forward.hidden_size",
    *(f"{norm}.eps" for norm in NORM_PATHS),
}
WITHOUT_EFFECT = {  # on what trained weights compute, or only on how fast or how exactly
    *("_CLASS_", "type", "dtype", "full_precision", "use_flash", "backend", "loss_implementation"),
    *("init_method", "init_seed", "embedding_init_std", "freeze_params"),
    *("compile", "dp_config", "tp_config", "ac_config", "float8_config"),
}


def is_core(folder: Path) -> bool:
    """Whether `folder` was written by OLMo-core."""
    return (folder / TENSOR_FOLDER).is_dir() or (folder / METADATA_FILE).is_file()


def open_core(folder: Path, *, with_optimizer: bool) -> ForeignCheckpoint:
    """Open a checkpoint of OLMo-core. Raises UsageError for what is not OLMo 2, RunError for damaged files."""
    values = read_json(folder / CONFIG_FILE)
    config = read_config(values, str(folder / CONFIG_FILE))
    tensors = folder / TENSOR_FOLDER if (folder / TENSOR_FOLDER).is_dir() else folder
    stored = DistributedCheckpoint(tensors)
    layout = core_layout(config.num_hidden_layers)
    weights = RenamedTensors(select(stored, "model.", "", f"{tensors}: the model"), layout, config)
    training = read_training(folder, stored, layout, config) if with_optimizer else None
    eos_id = look_up(values, "dataset.tokenizer.eos_token_id")
    return ForeignCheckpoint(str(folder), config, weights, weights.dtype, DOLMA2, eos_id, training)


def read_config(values: Any, source: str) -> ModelConfig:
    """Return the shape that config.json describes."""
    model = required(values, "model", source)
    block = required(model, "block", f"{source}: model")
    if isinstance(block, dict) and "attention" not in block:
        model = model | {"block": {{"sequence_mixer": "attention"}.get(key, key): part for key, part in block.items()}}
    where = f"{source}: model"
    require_constants(model, CONSTANTS, where)
    for key, value in options(model):
        if value not in (None, False) and key not in READ and key not in CONSTANTS:
            raise UsageError(f"{where}.{key} is {value!r}, an option that OLMo 2 does not have")
    hidden_size = required_int(model, "d_model", where)
    num_heads = required_int(model, "block.attention.n_heads", where)
    head_dim = look_up(model, "block.attention.head_dim")
    eps = [required(model, f"{norm}.eps", where) for norm in NORM_PATHS]
    if any(other != eps[0] for other in eps):
        raise UsageError(f"{where}: norms have different eps {eps}, but in OLMo 2 there is one")
    lengths = [look_up(values, key) for key in ("dataset.sequence_length", "train_module.max_sequence_length")]
    seq_len = next((length for length in lengths if length is not None), None)
    if seq_len is None:
        raise UsageError(f"{source}: dataset.sequence_length is missing; add the length of the training sequences")
    return model_config(
        source,
        hidden_size=hidden_size,
        intermediate_size=required(model, "block.feed_forward.hidden_size", where),
        num_hidden_layers=required(model, "n_layers", where),
        num_attention_heads=num_heads,
        num_key_value_heads=look_up(model, "block.attention.n_kv_heads") or num_heads,
        head_dim=head_dim,
        vocab_size=required(model, "vocab_size", where),
        max_position_embeddings=seq_len,
        rope_theta=required(model, "block.attention.rope.theta", where),
        rms_norm_eps=eps[0],
        initializer_range=look_up(model, "init_std") or 0.02,
    )


def options(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of a config that may matter to what a model computes."""
    for key, value in values.items():
        if key in WITHOUT_EFFECT:
            continue
        if isinstance(value, dict) and value and prefix + key not in CONSTANTS:
            yield from options(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def core_layout(num_layers: int) -> Layout:
    """Return OLMo-core's tensors, and which of ours each of them is."""
    layout: dict[str, tuple[str, ...]] = {
        "embeddings.weight": ("model.embed_tokens.weight",),
        "lm_head.norm.weight": ("model.norm.weight",),
        "lm_head.w_out.weight": ("lm_head.weight",),
    }
    parts = {
        "attention.w_q": "self_attn.q_proj",
        "attention.w_k": "self_attn.k_proj",
        "attention.w_v": "self_attn.v_proj",
        "attention.w_out": "self_attn.o_proj",
        "attention.q_norm": "self_attn.q_norm",
        "attention.k_norm": "self_attn.k_norm",
        "attention_norm": "post_attention_layernorm",
        "feed_forward.w1": "mlp.gate_proj",
        "feed_forward.w2": "mlp.down_proj",
        "feed_forward.w3": "mlp.up_proj",
        "feed_forward_norm": "post_feedforward_layernorm",
    }
    for layer in range(num_layers):
        for theirs, ours in parts.items():
            layout[f"blocks.{layer}.{theirs}.weight"] = (f"model.layers.{layer}.{ours}.weight",)
    return layout


def read_training(
    folder: Path, stored: DistributedCheckpoint, layout: Layout, config: ModelConfig
) -> ForeignTraining | None:
    """Return the moments and counts of a checkpoint; None if it has no optimizer state."""
    if not any(name.startswith("optim.state.") for name in stored.headers):
        return None
    source = f"{folder}: the optimizer"
    moments = {
        moment: RenamedTensors(select(stored, "optim.state.", f".{moment}", f"{source}'s {moment}"), layout, config)
        for moment in MOMENTS
    }
    counters = select(stored, "optim.state.", ".step", source)
    steps = [counters.read(name) for name in counters.headers]
    path = folder / TRAINER_FILE
    if not path.is_file():
        raise RunError(f"{path} is missing, which counts the steps; copy it too, or import with --optimizer=false")
    step, tokens = trainer_counts(load_torch_file(path, str(path)), str(path))
    return ForeignTraining(moments, single_step(steps, source), step, tokens)


def select(stored: DistributedCheckpoint, prefix: str, suffix: str, source: str) -> ForeignTensors:
    """Return the tensors whose names begin and end so, named by what is between."""
    names = {
        name[len(prefix) : len(name) - len(suffix)]: name
        for name in stored.headers
        if name.startswith(prefix) and name.endswith(suffix)
    }
    headers = {short: stored.headers[name] for short, name in names.items()}
    return ForeignTensors(source, headers, lambda short: stored.read(names[short]))
