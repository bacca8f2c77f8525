"""The keys of the old trainer's configs: those that are translated, those that may have one value, those without use.

Where a config leaves a key out, the old trainer's own default holds. Source: allenai/OLMo olmo/config.py.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from olmo2.base.config import Count
from olmo2.base.errors import UsageError
from olmo2.base.suggestions import nearest

TRANSLATED: dict[str, tuple[Any, Any]] = {  # key -> (type, the old trainer's default)
    "run_name": (str | None, None),
    "seed": (int, 6198),
    "dry_run": (bool, False),
    "model.d_model": (PositiveInt, 768),
    "model.n_heads": (PositiveInt, 12),
    "model.n_kv_heads": (PositiveInt | None, None),
    "model.n_layers": (PositiveInt, 12),
    "model.mlp_ratio": (PositiveInt, 4),
    "model.mlp_hidden_size": (PositiveInt | None, None),
    "model.max_sequence_length": (PositiveInt, 1024),
    "model.vocab_size": (PositiveInt, 50257),
    "model.embedding_size": (PositiveInt | None, 50304),
    "optimizer.learning_rate": (PositiveFloat, 1e-4),
    "optimizer.weight_decay": (float, 0.01),
    "optimizer.betas": (tuple[float, float], (0.9, 0.95)),
    "optimizer.eps": (float, 1e-5),
    "scheduler.name": (str, "cosine_with_warmup"),
    "scheduler.units": (str, "steps"),
    "scheduler.t_warmup": (Count, 100),
    "scheduler.t_max": (Count | None, None),
    "scheduler.alpha_f": (float, 0.1),
    "scheduler.warmup_min_lr": (float | None, None),
    "data.paths": (list[str] | None, None),
    "data.datasets": (dict[str, list[str]] | None, None),
    "data.memmap_dtype": (str, "uint16"),
    "data.label_mask_paths": (list[str] | None, None),
    "data.instance_filter": (dict[str, int] | None, None),
    "data.generate_doc_lengths": (bool, False),
    "data.seed": (int | None, None),
    "tokenizer.identifier": (str, "gpt2"),
    "save_folder": (str | None, None),
    "save_overwrite": (bool, False),
    "save_interval": (int | None, 1000),
    "save_interval_unsharded": (int | None, None),
    "save_interval_ephemeral": (int | None, None),
    "save_num_checkpoints_to_keep": (int, -1),
    "save_num_unsharded_checkpoints_to_keep": (int, -1),
    "load_path": (str | None, None),
    "reset_trainer_state": (bool, False),
    "reset_optimizer_state": (bool, False),
    "restore_dataloader": (bool, True),
    "try_load_latest_save": (bool, False),
    "max_duration": (int | str, 10000),
    "stop_at": (int | None, None),
    "global_train_batch_size": (PositiveInt, 512),
    "device_train_microbatch_size": (PositiveInt, 16),
    "max_grad_norm": (float | None, None),
    "precision": (str | None, None),
    "console_log_interval": (int, 1),
    "softmax_auxiliary_loss": (bool, False),
    "auxiliary_loss_multiplier": (float | None, None),
    "activation_checkpointing": (str | bool | None, None),
    "compile": (dict[str, Any] | bool | None, None),
    "distributed_strategy": (str | None, "fsdp"),
    "fsdp.sharding_strategy": (str, "FULL_SHARD"),
    "fsdp.hybrid_sharding_num_model_replicas": (PositiveInt | None, None),
    "single.device": (str, "auto"),
    "wandb.project": (str | None, None),
    "resume": (bool, False),  # ours: the same as try_load_latest_save
}

INITIAL: dict[str, tuple[Any, tuple[Any, ...]]] = {  # only for weights that are made anew
    "model.init_fn": ("normal", ("normal",)),
    "model.init_std": (0.02, (0.02,)),
    "model.init_cutoff_factor": (None, (3,)),
    "model.emb_init_std": (None, (None,)),
    "model.scale_emb_init": (False, (False,)),
}

DECAY: dict[str, tuple[Any, tuple[Any, ...]]] = {  # only where weights decay at all
    "optimizer.no_decay_norm_and_bias": (None, (None,)),
    "optimizer.decay_norm_and_bias": (False, (True,)),
    "optimizer.decay_embeddings": (False, (False,)),
}

FIXED: dict[str, tuple[Any, tuple[Any, ...]]] = {  # key -> (the old trainer's default, the values that OLMo 2 has)
    "model.alibi": (False, (False,)),
    "model.rope": (False, (True,)),
    "model.rope_theta": (10_000, (500_000,)),
    "model.rope_full_precision": (True, (True,)),
    "model.attention_dropout": (0.1, (0,)),
    "model.residual_dropout": (0.1, (0,)),
    "model.embedding_dropout": (0.1, (0,)),
    "model.embedding_layer_norm": (False, (False,)),
    "model.multi_query_attention": (None, (None, False)),
    "model.clip_qkv": (None, (None,)),
    "model.scale_logits": (False, (False,)),
    "model.block_type": ("sequential", ("sequential",)),
    "model.activation_type": ("swiglu", ("swiglu",)),
    "model.layer_norm_type": ("default", ("rms",)),
    "model.layer_norm_with_affine": (True, (True,)),
    "model.layer_norm_eps": (1e-5, (1e-6,)),
    "model.attention_layer_norm": (False, (True,)),
    "model.attention_layer_norm_with_affine": (True, (True,)),
    "model.norm_after": (False, (True,)),
    "model.include_bias": (True, (False,)),
    "model.bias_for_layer_norm": (None, (False, None)),
    "model.weight_tying": (True, (False,)),
    "optimizer.name": ("lionw", ("adamw",)),
    "optimizer.selective_updates": (False, (False,)),
    "scheduler.grad_clip_warmup_steps": (None, (None,)),
    "scheduler.grad_clip_warmup_factor": (None, (None,)),
    "data.generate_attention_mask": (False, (False,)),
    "data.custom_dataset": (None, (None,)),
    "max_grad_norm_ratio": (None, (None,)),
    "epoch": (None, (None, 0)),
    "fast_forward_batches": (None, (None, 0)),
    "early_stopping_factor": (None, (None,)),
    "stop_after": (None, (None,)),
}

UNUSED = (  # speed, logging, evaluation, or how the old checkpoints were written: no bearing on the weights
    *("wandb.entity", "wandb.group", "wandb.name", "wandb.tags", "wandb.log_artifacts", "wandb.rank_zero_only"),
    *("wandb.log_interval", "speed_monitor", "gen1_gc_interval", "canceled_check_interval", "time_limit"),
    *("extra_steps_after_cancel", "python_profiling", "torch_profiling", "module_outputs_save_steps"),
    *("evaluators", "eval_interval", "eval_subset_num_batches", "device_eval_batch_size", "eval_on_load"),
    *("hf_datasets_cache_dir", "remote_save_folder", "sharded_checkpointer", "load_path_sharded_checkpointer"),
    *("new_style_checkpoints", "force_save_unsharded", "no_pre_train_checkpoint", "save_data_indices"),
    *("device_train_batch_size", "device_train_grad_accum", "fused_loss", "ddp", "fsdp.wrapping_strategy"),
    *("fsdp.precision", "fsdp.use_orig_params", "optimizer.metrics_log_interval", "optimizer.record_update_metrics"),
    *("data.num_workers", "data.drop_last", "data.pin_memory", "data.prefetch_factor", "data.persistent_workers"),
    *("data.timeout", "data.pad_direction", "tokenizer.truncate_direction", "model.flash_attention"),
    *("model.init_device", "model.precision", "model.block_group_size", "model.alibi_bias_max"),
    *("model.eos_token_id", "model.pad_token_id"),
)


MOST_NESTED = 8  # ${keys} within the values of ${keys}


class ClassicConfig:
    """The values of an old config, by dotted key, checked and with the old trainer's defaults filled in."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        """Read nested `values`. Raises UsageError, naming `source` and the key, for what olmo2 cannot follow."""
        self.source = source
        given = flat_keys(values)
        known = (*TRANSLATED, *FIXED, *INITIAL, *DECAY, *UNUSED)
        for key in given:
            if key not in known and not any(is_part(key, name) for name in UNUSED):
                raise UsageError(f"{source}: {key}: the old trainer has no such key{nearest(key, list(known))}")
        used = {key: value for key, value in given.items() if not any(is_part(key, name) for name in UNUSED)}
        set_keys = [key for key, value in given.items() if value is not None]
        self.unused = [name for name in UNUSED if any(is_part(key, name) for key in set_keys)]
        given = {key: self.interpolated(key, value, given) for key, value in used.items()}
        self.values = {key: self.typed(key, given.get(key, default)) for key, (_, default) in TRANSLATED.items()}
        self.notes: list[str] = []
        checked = dict(FIXED)
        if self["load_path"] is None:
            checked |= INITIAL
        if self["optimizer.weight_decay"] > 0:
            checked |= DECAY
        wrong = [
            f"{key} {f'is {given[key]!r}' if key in given else f'is missing, which means {default!r}'}, but olmo2 "
            f"trains with {accepted[0]!r} only"
            for key, (default, accepted) in checked.items()
            if given.get(key, default) not in accepted
        ]
        if wrong:
            raise UsageError(f"{source}: {'; '.join(wrong)}: set {'them' if len(wrong) > 1 else 'it'} to that")

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def interpolated(self, key: str, value: Any, given: Mapping[str, Any]) -> Any:
        """Put values of other keys in the place of ``${key}``."""
        if not isinstance(value, str) or "${" not in value:
            return value
        result: Any = value
        for _ in range(MOST_NESTED):
            whole = re.fullmatch(r"\$\{([\w.]+)\}", result)
            if whole and whole[1] in given:
                result = given[whole[1]]
            else:
                result = re.sub(r"\$\{([\w.]+)\}", lambda match: str(given.get(match[1], match[0])), result)
            if not isinstance(result, str):
                return result
        if "${" in result:
            raise UsageError(f"{self.source}: {key} is {value!r}, which olmo2 cannot resolve; set it to a plain value")
        return result

    def typed(self, key: str, value: Any) -> Any:
        """Return the value in the type of its key."""
        try:
            kind = TypeAdapter(TRANSLATED[key][0], config=ConfigDict(coerce_numbers_to_str=True))
            return kind.validate_python(value)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise UsageError(f"{self.source}: {key}: {what[0].lower() + what[1:]}, not {value!r}") from None

    def choice(self, key: str, choices: Mapping[Any, str]) -> str:
        """Return what stands for the key's value; UsageError if nothing does."""
        if self[key] not in choices:
            known = ", ".join(str(choice) for choice in choices if choice not in (None, True, False))
            raise UsageError(f"{self.source}: {key} {self[key]!r} has no counterpart here; choose one of {known}")
        return choices[self[key]]


def is_part(key: str, group: str) -> bool:
    """Tell whether a dotted key is `group` or lies in it."""
    return f"{key}.".startswith(f"{group}.")


def flat_keys(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted keys; a group that is a value of its own (see TRANSLATED) stays whole."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        is_group = isinstance(value, Mapping) and key not in TRANSLATED and key not in FIXED
        flat |= flat_keys(value, f"{key}.") if is_group else {key: value}
    groups = {key.split(".")[0] for key in (*TRANSLATED, *FIXED) if "." in key}
    return {key: value for key, value in flat.items() if not (value is None and key in groups)}
