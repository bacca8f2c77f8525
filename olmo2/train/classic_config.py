"""A config of the old trainer (allenai/OLMo) as a recipe of ours: the same run, or one sentence on what it cannot be.

The result of a run is translated exactly or refused; what only concerns speed, logging and evaluation is passed over
and named. Steps and instances of the old config become tokens of ours.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from olmo2.base.config import make_recipe
from olmo2.base.errors import UsageError
from olmo2.data.token_files import open_tokens
from olmo2.model.sizes import SIZES, padded_vocabulary
from olmo2.train.classic_keys import ClassicConfig
from olmo2.train.finetune import FinetuneRecipe
from olmo2.train.pretrain import PretrainRecipe

DOLMA2_FILE, DOLMA2 = "allenai_dolma2.json", "allenai/dolma2-tokenizer"
EXTRA_STEPS = 10  # the old trainer goes on for these beyond max_duration; allenai/OLMo olmo/train.py, fit
DECAYS = {
    "cosine_with_warmup": "cosine",
    "linear_with_warmup": "linear",
    "constant_with_warmup": "constant",
    "constant": "constant",
}
DTYPES = {"amp_bf16": "bf16", "fp32": "fp32", None: "auto"}
FILTER = {"repetition_max_period": 13, "repetition_min_period": 1, "repetition_max_count": 32}
RECOMPUTE: dict[str | bool | None, str] = {  # to the next pattern of ours that saves at least as much memory
    **dict.fromkeys((None, False), "none"),
    **dict.fromkeys(("one_in_two", "one_in_three", "one_in_four", "one_in_eight"), "alternate"),
    **dict.fromkeys((True, "whole_layer", "two_in_three", "three_in_four", "fine_grained"), "all"),
}
STRATEGIES = {  # the names of torch's FSDP 1
    name: name for name in ("NO_SHARD", "FULL_SHARD", "SHARD_GRAD_OP", "HYBRID_SHARD", "_HYBRID_SHARD_ZERO2")
}
NO_CLIPPING = 1e30  # a gradient norm that none exceeds


def translate(old: ClassicConfig) -> PretrainRecipe | FinetuneRecipe:
    """Return the recipe of an old config: pretraining without a load_path, fine-tuning with one.

    What the user should know of the translation is added to `old.notes`.
    """
    seq_len, batch_tokens = old["model.max_sequence_length"], tokens_per_step(old)
    data = data_settings(old)
    length = stage_length(old, data)
    values: dict[str, Any] = {
        "data": data,
        "optim": {
            "peak_lr": old["optimizer.learning_rate"],
            "betas": old["optimizer.betas"],
            "eps": old["optimizer.eps"],
            "weight_decay": old["optimizer.weight_decay"],
            "max_grad_norm": NO_CLIPPING if old["max_grad_norm"] is None else old["max_grad_norm"],
        },
        "schedule": schedule_settings(old),
        "loss": {"z_loss_weight": 1e-4 if old["softmax_auxiliary_loss"] else 0.0},
        "parallel": parallel_settings(old),
        "keep": keep_settings(old),
        "track": {"wandb_project": old["wandb.project"]},
        "resume": old["try_load_latest_save"] or old["resume"],
        "run": length
        | {
            "folder": run_folder(old),
            "stage": stage_name(old),
            "global_batch_tokens": batch_tokens,
            "micro_batch_sequences": old["device_train_microbatch_size"],
            "seed": old["seed"] if old["data.seed"] is None else old["data.seed"],
            "device": old["single.device"] if old["distributed_strategy"] == "single" else "auto",
            "dtype": old.choice("precision", DTYPES),
            "compile": "auto" if old["compile"] is None else old["compile"] is not False,
            "log_every_steps": old["console_log_interval"],
        },
    }
    if old["softmax_auxiliary_loss"] and old["auxiliary_loss_multiplier"] not in (None, 1e-4):
        old.notes.append(
            "auxiliary_loss_multiplier was never read by the old trainer: the z-loss weighs 1e-4, as it ran"
        )
    if old["load_path"] is None:
        values |= {"verb": "pretrain", "model": model_settings(old, seq_len), "tokenizer": tokenizer_name(old)}
        return make_recipe(PretrainRecipe, values, old.source)
    resets = old["reset_trainer_state"] or not old["restore_dataloader"]
    values |= {"verb": "finetune", "load_path": old["load_path"], "reset_trainer_state": resets}
    return make_recipe(FinetuneRecipe, values | {"reset_optimizer_state": old["reset_optimizer_state"]}, old.source)


def tokens_per_step(old: ClassicConfig) -> int:
    """Return the tokens of a global batch."""
    tokens: int = old["global_train_batch_size"] * old["model.max_sequence_length"]
    return tokens


def data_settings(old: ClassicConfig) -> dict[str, Any]:
    """Return the token files with their masks, and what is not learnt from."""
    paths, datasets = old["data.paths"], old["data.datasets"]
    if not paths and not datasets:
        raise UsageError(f"{old.source}: data.paths is missing; name the token files with --data.paths=[...]")
    if paths and datasets:
        raise UsageError(f"{old.source}: data.paths and data.datasets exclude each other; keep one of them")
    masks, chosen = old["data.label_mask_paths"] or [], old["data.instance_filter"]
    if chosen is not None and FILTER | chosen != FILTER:
        raise UsageError(f"{old.source}: data.instance_filter is {chosen}, but olmo2 has {FILTER} only")
    if chosen is not None and masks:
        old.notes.append("data.instance_filter is off: with label masks it would leave out every row with padding")
    return {
        "paths": paths or [path for name in sorted(datasets) for path in datasets[name]],
        "seq_len": old["model.max_sequence_length"],
        "dtype": old["data.memmap_dtype"],
        "label_mask_paths": masks,
        "repetition_filter": chosen is not None and not masks,
        "document_mask": old["data.generate_doc_lengths"],
    }


def stage_length(old: ClassicConfig, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the run ends: run.epochs or run.total_steps.

    The old trainer stops at stop_at, else ten steps beyond max_duration, and in any case where the epoch ends in which
    max_duration lies. Source: allenai/OLMo olmo/train.py, max_epochs and fit.
    """
    kind, amount = duration(old)
    if kind == "epochs" and old["stop_at"] is None:
        return {"epochs": amount}
    try:
        num_sequences = sum(file.num_tokens // data["seq_len"] for file in open_tokens(data["paths"], data["dtype"]))
    except UsageError:
        if kind == "epochs":
            raise
        num_sequences = 0  # the run itself will say what is wrong with its data; a dry run needs none
    per_epoch = num_sequences // old["global_train_batch_size"]
    steps = amount * per_epoch if kind == "epochs" else amount
    if kind == "tokens":
        steps = -(-amount // tokens_per_step(old))
    end = steps + EXTRA_STEPS if old["stop_at"] is None else old["stop_at"]
    if per_epoch:
        end = min(end, -(-steps // per_epoch) * per_epoch)
    if old["stop_at"] is None and end > steps:
        old.notes.append(f"the run ends at step {end}, {end - steps} beyond max_duration, without stop_at")
    return {"total_steps": end}


def duration(old: ClassicConfig) -> tuple[str, int]:
    """Read max_duration: ("steps" | "tokens" | "epochs", how many)."""
    text = str(old["max_duration"]).strip()
    match = re.fullmatch(r"([0-9.eE+_]+)\s*(T|ep)?", text)
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if match is None or not (1 <= number < 2**63 and number.is_integer()):
        raise UsageError(f"{old.source}: max_duration is {text!r}; write steps (1000), tokens (2e9T) or epochs (3ep)")
    return {"T": "tokens", "ep": "epochs", None: "steps"}[match[2]], int(number)


def schedule_settings(old: ClassicConfig) -> dict[str, Any]:
    """Return the schedule, all lengths in tokens."""
    if old["scheduler.units"] not in ("steps", "tokens"):
        raise UsageError(f"{old.source}: scheduler.units is {old['scheduler.units']!r}; write steps or tokens")
    unit = tokens_per_step(old) if old["scheduler.units"] == "steps" else 1
    decay = old.choice("scheduler.name", DECAYS)
    warmup = 0 if old["scheduler.name"] == "constant" else old["scheduler.t_warmup"] * unit
    horizon = old["scheduler.t_max"]
    kind, amount = duration(old)
    if horizon is not None:
        horizon *= unit
    elif kind == "tokens":
        horizon = amount if unit == 1 else -(-amount // unit) * unit
    elif kind == "steps":
        horizon = amount * tokens_per_step(old)
    elif old["stop_at"] is not None and decay != "constant":
        raise UsageError(f"{old.source}: with max_duration in epochs and stop_at, set scheduler.t_max too")
    lowest = old["scheduler.warmup_min_lr"]
    ratio = 0.1 if lowest is None else lowest / old["optimizer.learning_rate"]
    return {
        "warmup_tokens": warmup,
        "initial_lr_ratio": ratio if warmup else 0,
        "decay": decay,
        "horizon_tokens": None if decay == "constant" else horizon,
        "final_lr_ratio": old["scheduler.alpha_f"],
    }


def keep_settings(old: ClassicConfig) -> dict[str, Any]:
    """Return when to save: of both kinds of old checkpoints, those of which one is kept become ephemeral."""
    permanent: list[int] = []
    ephemeral = [old["save_interval_ephemeral"]] if old["save_interval_ephemeral"] else []
    for interval, kept in (
        (old["save_interval"], old["save_num_checkpoints_to_keep"]),
        (old["save_interval_unsharded"], old["save_num_unsharded_checkpoints_to_keep"]),
    ):
        if interval is None or kept == 0:
            continue
        (ephemeral if kept == 1 else permanent).append(interval)
        if kept > 1:
            old.notes.append(f"every checkpoint is kept, not the newest {kept}")
    return {
        "save_every_steps": min(permanent, default=None),
        "ephemeral_every_steps": min(ephemeral, default=None),
    }


def parallel_settings(old: ClassicConfig) -> dict[str, Any]:
    """Return how the model is spread over the processes that torchrun has started."""
    strategy = old.choice("fsdp.sharding_strategy", STRATEGIES) if old["distributed_strategy"] == "fsdp" else "NO_SHARD"
    num_devices = int(os.environ.get("WORLD_SIZE", "1"))
    shard = 1 if strategy == "NO_SHARD" else None
    if "HYBRID" in strategy:
        per_node = int(os.environ.get("LOCAL_WORLD_SIZE", str(num_devices)))
        replicas = old["fsdp.hybrid_sharding_num_model_replicas"] or max(num_devices // per_node, 1)
        shard = max(num_devices // replicas, 1)
    return {
        "shard": shard,
        "reshard": strategy in ("FULL_SHARD", "HYBRID_SHARD"),
        "recompute": old.choice("activation_checkpointing", RECOMPUTE),
    }


def run_folder(old: ClassicConfig) -> str:
    """Return the folder of the run; runs/NAME where the config names none that can be written to."""
    folder: str | None = old["save_folder"]
    if folder is not None and "://" not in folder:
        return folder
    if old["run_name"] is None:
        raise UsageError(f"{old.source}: save_folder is missing; add --save_folder=FOLDER")
    old.notes.append(f"save_folder is {folder or 'missing'}: the run goes to runs/{old['run_name']}")
    return f"runs/{old['run_name']}"


def stage_name(old: ClassicConfig) -> str:
    """Return the first part of checkpoints' names: that of the published run, or what the run does."""
    if old["data.label_mask_paths"]:
        return "finetune"
    match = re.search(r"stage[0-9]", old["run_name"] or "")
    return match[0] if match else "stage1" if old["load_path"] is None else "finetune"


def shape(old: ClassicConfig) -> dict[str, int]:
    """Return the model's shape by our names. The old MLP width counts gate and up projection together."""
    width = old["model.mlp_hidden_size"] or old["model.mlp_ratio"] * old["model.d_model"]
    if width % 2:
        raise UsageError(
            f"{old.source}: model.mlp_hidden_size {width} must be even: it counts gate and up projection together"
        )
    return {
        "hidden_size": old["model.d_model"],
        "intermediate_size": width // 2,
        "num_hidden_layers": old["model.n_layers"],
        "num_attention_heads": old["model.n_heads"],
        "num_key_value_heads": old["model.n_kv_heads"] or old["model.n_heads"],
        "vocab_size": old["model.embedding_size"] or old["model.vocab_size"],
    }


def model_settings(old: ClassicConfig, seq_len: int) -> dict[str, Any]:
    """Return the model to make: a size by its name where the shape is one of the table's."""
    wanted = shape(old) | {"max_position_embeddings": seq_len}
    rows, made = wanted.pop("vocab_size"), padded_vocabulary(old["model.vocab_size"])
    if rows != made:
        raise UsageError(
            f"{old.source}: model.embedding_size is {rows}, but olmo2 makes {made} rows for model.vocab_size "
            f"{old['model.vocab_size']}; set it to that"
        )
    for size, config in SIZES.items():
        if all(getattr(config, name) == value for name, value in wanted.items()):
            return {"size": size}
    return {"size": "olmo2-1m"} | wanted


def tokenizer_name(old: ClassicConfig) -> str:
    """Return the tokenizer's file or name; the old repository's copy of dolma2 is that of the hub."""
    name: str = old["tokenizer.identifier"]
    return DOLMA2 if os.path.basename(name) == DOLMA2_FILE and not os.path.exists(name) else name
