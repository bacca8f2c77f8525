"""Tiny checkpoints as other trainers write them, made from a model of transformers with code of its own."""

import base64
import json
import pathlib
import pickle
import random
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed.checkpoint
import yaml
from safetensors.torch import save_file
from torch import Tensor

NUM_LAYERS = 2
EOS_ID = 359  # of the tests' tokenizer
STEP, TOKENS = 7, 7 * 4 * 128

LEGACY_MODEL = {  # the model section of a config.yaml, as the old trainer saves it: every field, in no special order
    "d_model": 32, "n_heads": 4, "n_kv_heads": 2, "n_layers": NUM_LAYERS, "mlp_ratio": 4, "mlp_hidden_size": 128,
    "weight_tying": False, "alibi": False, "alibi_bias_max": 8.0, "rope": True, "rope_full_precision": True,
    "rope_theta": 500000, "flash_attention": True, "attention_dropout": 0.0, "include_bias": False,
    "block_type": "sequential", "block_group_size": 1, "layer_norm_type": "rms", "layer_norm_with_affine": True,
    "layer_norm_eps": 1e-6, "bias_for_layer_norm": False, "attention_layer_norm": True, "clip_qkv": None,
    "attention_layer_norm_with_affine": True, "norm_after": True, "activation_type": "swiglu", "scale_logits": False,
    "residual_dropout": 0.0, "embedding_dropout": 0.0, "embedding_layer_norm": False, "multi_query_attention": None,
    "max_sequence_length": 128, "vocab_size": 380, "embedding_size": 512, "eos_token_id": EOS_ID, "pad_token_id": 379,
    "init_device": "meta", "init_fn": "normal", "init_std": 0.02, "init_cutoff_factor": 3.0, "precision": "amp_bf16",
}  # fmt: skip

NORM = {"_CLASS_": "olmo_core.nn.layer_norm.LayerNormConfig", "name": "rms", "eps": 1e-6, "bias": False}
ATTENTION = {
    "name": "default", "n_heads": 4, "n_kv_heads": 2, "bias": False, "qk_norm": NORM, "dtype": "float32",
    "rope": {"name": "default", "theta": 500000, "full_precision": True},
}  # fmt: skip
CORE_MODEL = {
    "d_model": 32, "vocab_size": 512, "n_layers": NUM_LAYERS, "name": "default", "dtype": "float32",
    "init_method": "normal", "init_seed": 0, "_CLASS_": "olmo_core.nn.transformer.config.TransformerConfig",
    "block": {
        "name": "reordered_norm", "attention": ATTENTION, "layer_norm": NORM,
        "feed_forward": {"hidden_size": 64, "bias": False, "dtype": "float32"},
    },
    "lm_head": {"name": "default", "layer_norm": NORM, "bias": False, "dtype": "float32"},
}  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """A model of transformers and made-up moments, by its own parameter names."""

    model: Any
    moments: dict[str, dict[str, Tensor]]  # exp_avg and exp_avg_sq

    @property
    def weights(self) -> dict[str, Tensor]:
        """Every weight by its name."""
        return {name: tensor.detach() for name, tensor in self.model.named_parameters()}


def make_reference(transformers: Any) -> Reference:
    """Return a model with grouped-query attention in which no two tensors and no norm weights are alike."""
    torch.manual_seed(5)
    config = transformers.Olmo2Config(
        vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=NUM_LAYERS, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-6, pad_token_id=379, eos_token_id=EOS_ID,
        rope_parameters={"rope_theta": 500000.0, "rope_type": "default"},
    )  # fmt: skip
    model = transformers.Olmo2ForCausalLM(config).float().eval()
    moments: dict[str, dict[str, Tensor]] = {"exp_avg": {}, "exp_avg_sq": {}}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.1 + ("norm" in name))
            moments["exp_avg"][name] = torch.randn_like(parameter)
            moments["exp_avg_sq"][name] = torch.rand_like(parameter)
    return Reference(model, moments)


def legacy_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fuse and rename tensors as the old trainer's model has them."""
    fused = {
        "transformer.wte.weight": tensors["model.embed_tokens.weight"],
        "transformer.ln_f.weight": tensors["model.norm.weight"],
        "transformer.ff_out.weight": tensors["lm_head.weight"],
    }
    for layer in range(NUM_LAYERS):
        of_layer = {name: tensors[f"model.layers.{layer}.{name}.weight"] for name in (
            "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "self_attn.q_norm",
            "self_attn.k_norm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "post_attention_layernorm",
            "post_feedforward_layernorm",
        )}  # fmt: skip
        block = f"transformer.blocks.{layer}"
        qkv = [of_layer[f"self_attn.{part}_proj"] for part in "qkv"]
        fused[f"{block}.att_proj.weight"] = torch.cat(qkv)
        fused[f"{block}.attn_out.weight"] = of_layer["self_attn.o_proj"]
        fused[f"{block}.q_norm.weight"] = of_layer["self_attn.q_norm"]
        fused[f"{block}.k_norm.weight"] = of_layer["self_attn.k_norm"]
        fused[f"{block}.ff_proj.weight"] = torch.cat([of_layer["mlp.up_proj"], of_layer["mlp.gate_proj"]])
        fused[f"{block}.ff_out.weight"] = of_layer["mlp.down_proj"]
        fused[f"{block}.attn_norm.weight"] = of_layer["post_attention_layernorm"]
        fused[f"{block}.ff_norm.weight"] = of_layer["post_feedforward_layernorm"]
    return fused


def core_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors as OLMo-core's model has them."""
    pairs = {
        "model.embed_tokens.": "embeddings.", "model.norm.": "lm_head.norm.", "model.layers.": "blocks.",
        "self_attn.q_proj": "attention.w_q", "self_attn.k_proj": "attention.w_k", "self_attn.v_proj": "attention.w_v",
        "self_attn.o_proj": "attention.w_out", "self_attn.q_norm": "attention.q_norm",
        "self_attn.k_norm": "attention.k_norm", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
        "mlp.up_proj": "feed_forward.w3", "post_attention_layernorm": "attention_norm",
        "post_feedforward_layernorm": "feed_forward_norm",
    }  # fmt: skip
    renamed = {}
    for name, tensor in tensors.items():
        new = "lm_head.w_out.weight" if name == "lm_head.weight" else name
        for ours, theirs in pairs.items():
            new = new.replace(ours, theirs)
        renamed[new] = tensor
    return renamed


def trainer_state() -> dict[str, Any]:
    """What both trainers store besides tensors: counts, paths, and random states of three libraries."""
    return {
        "epoch": 0,
        "global_step": STEP,
        "global_train_tokens_seen": TOKENS,
        "checkpoints": [pathlib.PosixPath("runs/step5")],
        "rng": {
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "torch": torch.random.get_rng_state(),
            "scalar": np.float64(0.5),
        },
    }


def optimizer_state(reference: Reference, *, step: float = STEP) -> dict[str, Any]:
    """The optimizer of an FSDP run of the old trainer, gathered on one rank: state by parameter name."""
    first, second = (legacy_names(reference.moments[moment]) for moment in ("exp_avg", "exp_avg_sq"))
    state = {
        name: {"step": torch.tensor(float(step)), "exp_avg": first[name], "exp_avg_sq": second[name]} for name in first
    }
    names = list(first)
    return {"state": state, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.95), "params": names, "param_names": names}]}


def write_legacy(
    folder: Path, reference: Reference, *, with_optimizer: bool = True, model: dict[str, Any] | None = None
) -> Path:
    """Write a checkpoint as the old trainer does with FullCheckpointer."""
    folder.mkdir()
    config = {"run_name": "tiny", "seed": 6198, "model": model or LEGACY_MODEL, "global_train_batch_size": 4}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(OrderedDict(legacy_names(reference.weights)), folder / "model.pt")
    if with_optimizer:
        torch.save(optimizer_state(reference), folder / "optim.pt")
        torch.save(trainer_state(), folder / "train.pt")
    return folder


def write_odd_safetensors(path: Path, values: dict[str, Any]) -> None:
    """Write nested dicts as the old trainer's safetensors files: names are pickles in base64, other values pickles."""
    flat: dict[str, Tensor] = {}

    def add(keys: tuple[Any, ...], value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add((*keys, key), inner)
            return
        is_pickled = not isinstance(value, Tensor)
        tensor = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8) if is_pickled else value
        name = base64.urlsafe_b64encode(pickle.dumps((keys, is_pickled))).decode()
        flat[name] = tensor.contiguous().clone()

    add((), values)
    save_file(flat, path)


def write_core(
    folder: Path, reference: Reference, *, with_optimizer: bool = True, model: dict[str, Any] | None = None, **more: Any
) -> Path:
    """Write a checkpoint as OLMo-core does, with torch's distributed checkpoints in one process."""
    (folder / "train").mkdir(parents=True)
    dataset = {"sequence_length": 128, "tokenizer": {"eos_token_id": EOS_ID}}
    config = {"model": model or CORE_MODEL, "dataset": dataset} | more
    (folder / "config.json").write_text(json.dumps(config))
    (folder / ".metadata.json").write_text('{"version": "2.0.0"}')
    state: dict[str, Any] = {"model": core_names(reference.weights)}
    if with_optimizer:
        first, second = (core_names(reference.moments[moment]) for moment in ("exp_avg", "exp_avg_sq"))
        state["optim"] = {
            f"state.{name}.{key}": value
            for name in first
            for key, value in (("step", torch.tensor(7.0)), ("exp_avg", first[name]), ("exp_avg_sq", second[name]))
        } | {"param_groups.embeddings.weight.lr": 1e-4}
        torch.save(trainer_state(), folder / "train" / "rank0.pt")
    save_distributed(state, folder / "model_and_optim")
    return folder


def save_distributed(state: dict[str, Any], folder: Path) -> Path:
    """Let torch write a distributed checkpoint from this one process."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # it says that there is one process
        torch.distributed.checkpoint.save(state, checkpoint_id=folder, no_dist=True)
    return folder


class Trap:
    """Something whose unpickling, were it allowed, would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")
