"""Old configs become recipes whose steps, rates and batches are those of the published runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.optim.schedule import learning_rate
from olmo2.train.classic_config import shape, translate
from olmo2.train.classic_keys import ClassicConfig
from olmo2.train.finetune import FinetuneRecipe
from olmo2.train.pretrain import PretrainRecipe
from tests.train.conftest import classic_values


def translated(tmp_path: Path, changes: dict[str, Any] | None = None) -> tuple[Any, list[str]]:
    old = ClassicConfig(classic_values(tmp_path, changes), "old.yaml")
    return translate(old), old.notes


PUBLISHED_7B = {
    "run_name": "OLMo2-7B-stage1",
    "save_folder": None,
    "load_path": None,
    "model.d_model": 4096,
    "model.n_heads": 32,
    "model.n_kv_heads": None,
    "model.n_layers": 32,
    "model.mlp_hidden_size": 22016,
    "model.max_sequence_length": 4096,
    "model.vocab_size": 100278,
    "model.embedding_size": 100352,
    "model.init_cutoff_factor": 3,
    "tokenizer.identifier": "tokenizers/allenai_dolma2.json",
    "optimizer.learning_rate": 3e-4,
    "optimizer.eps": 1e-8,
    "scheduler": {
        "name": "cosine_with_warmup",
        "units": "tokens",
        "t_warmup": 8388608000,
        "t_max": 5e12,
        "alpha_f": 0.1,
        "warmup_min_lr": 0.0,
    },
    "softmax_auxiliary_loss": True,
    "auxiliary_loss_multiplier": 1e-5,
    "max_duration": "3.9e12T",
    "global_train_batch_size": 1024,
    "device_train_microbatch_size": 2,
    "precision": "amp_bf16",
    "data.memmap_dtype": "uint32",
    "data.instance_filter": {
        "repetition_max_period": 13,
        "repetition_min_period": 1,
        "repetition_max_count": 32,
    },
    "save_interval": 1000,
    "save_interval_ephemeral": 250,
    "save_num_checkpoints_to_keep": 0,
    "save_interval_unsharded": 1000,
}


def test_stage_1_of_the_7b(tmp_path: Path) -> None:
    recipe, notes = translated(tmp_path, PUBLISHED_7B)
    assert isinstance(recipe, PretrainRecipe) and recipe.model.size == "olmo2-7b"
    assert recipe.tokenizer == "allenai/dolma2-tokenizer" and recipe.data.dtype == "uint32"
    assert recipe.run.global_batch_tokens == 4_194_304 and recipe.run.micro_batch_sequences == 2
    assert recipe.run.dtype == "bf16" and recipe.data.repetition_filter
    assert (recipe.run.stage, recipe.run.folder) == ("stage1", "runs/OLMo2-7B-stage1")
    assert recipe.loss.z_loss_weight == 1e-4  # the file says 1e-5, which the old trainer never read
    assert (recipe.keep.save_every_steps, recipe.keep.ephemeral_every_steps) == (1000, 250)
    rate = learning_rate(recipe.schedule, recipe.optim.peak_lr, 928_000 * 4_194_304, 1)
    assert rate == pytest.approx(6.14988e-5, rel=1e-5)
    assert len(notes) == 3 and "auxiliary_loss_multiplier was never read" in " ".join(notes)


@pytest.mark.parametrize(
    ("max_duration", "stop_at", "batch", "steps"),
    [
        ("4e12T", None, 512, 1_907_359),  # the published steps of the 1B, and of the 13B
        ("5e12T", None, 2048, 596_057),
        ("50e9T", 11931, 1024, 11_931),
        ("50e9T", 23852, 512, 23_852),
        (1000, None, 8, 1010),
        ("1e3", 7, 8, 7),
    ],
)
def test_lengths(tmp_path: Path, max_duration: object, stop_at: int | None, batch: int, steps: int) -> None:
    changes = PUBLISHED_7B | {"max_duration": max_duration, "stop_at": stop_at, "global_train_batch_size": batch}
    assert translated(tmp_path, changes)[0].run.total_steps == steps


def test_stage_2_of_the_7b(tmp_path: Path) -> None:
    """Linear to exactly zero at step 11,921 of 11,931, from the peak, with moments but no counters."""
    changes = PUBLISHED_7B | {
        "load_path": "https://olmo-checkpoints.org/ai2-llm/peteish7/step928646-unsharded",
        "run_name": "OLMo2-7B-stage2-seed42",
        "optimizer.learning_rate": 6.1499e-5,
        "scheduler": {"name": "linear_with_warmup", "t_warmup": 0, "alpha_f": 0},
        "max_duration": "50e9T",
        "stop_at": 11931,
        "restore_dataloader": False,
    }
    recipe, _ = translated(tmp_path, changes)
    assert isinstance(recipe, FinetuneRecipe) and recipe.run.stage == "stage2"
    assert recipe.reset_trainer_state and not recipe.reset_optimizer_state
    total = recipe.run.total_steps * recipe.run.global_batch_tokens
    rates = [
        learning_rate(recipe.schedule, recipe.optim.peak_lr, step * recipe.run.global_batch_tokens, total)
        for step in (1, 11_920, 11_921, 11_931)
    ]
    assert rates[:2] == pytest.approx([6.1499e-5 * 11_920 / 11_921, 6.1499e-5 / 11_921])
    assert rates[2:] == [0, 0]


@pytest.mark.parametrize(("lowest", "rates"), [(None, [0.325, 0.55, 1.0]), (0.0, [0.25, 0.5, 1.0])])
def test_the_old_warmup_starts_at_a_tenth_unless_told_otherwise(
    tmp_path: Path, lowest: float | None, rates: list[float]
) -> None:
    """allenai/OLMo olmo/optim.py, Scheduler._linear_warmup; four steps of 4 x 64 tokens."""
    changes = {"optimizer.learning_rate": 1.0, "scheduler.t_warmup": 4, "scheduler.warmup_min_lr": lowest}
    recipe, _ = translated(tmp_path, changes)
    assert [learning_rate(recipe.schedule, 1.0, step * 256, 2560) for step in (1, 2, 4)] == pytest.approx(rates)


def test_fine_tuning(tmp_path: Path) -> None:
    changes = {
        "data.label_mask_paths": [str(tmp_path / "label_mask.npy")],
        "data.instance_filter": {},
        "reset_trainer_state": True,
        "reset_optimizer_state": True,
        "max_duration": "2ep",
        "max_grad_norm": None,
        "data.seed": 3,
        "distributed_strategy": "single",
        "single.device": "cpu",
        "try_load_latest_save": True,
        "compile": False,
        "wandb.project": "mine",
    }
    recipe, notes = translated(tmp_path, changes)
    assert isinstance(recipe, FinetuneRecipe) and recipe.run.stage == "finetune"
    assert recipe.reset_trainer_state and recipe.reset_optimizer_state and recipe.resume
    assert recipe.run.epochs == 2 and recipe.schedule.horizon_tokens is None
    assert recipe.run.seed == 3 and recipe.run.device == "cpu" and recipe.run.compile is False
    assert recipe.optim.max_grad_norm > 1e20 and recipe.optim.eps == 1e-5 and recipe.loss.z_loss_weight == 0
    assert recipe.track.wandb_project == "mine"
    assert not recipe.data.repetition_filter and "instance_filter is off" in notes[0]


def test_epochs_that_stop_early(tmp_path: Path) -> None:
    np.zeros(64 * 9, "<u2").tofile(tmp_path / "input_ids.npy")  # nine rows: two batches of four
    changes = {"max_duration": "3ep", "scheduler.t_max": 6}
    assert translated(tmp_path, changes | {"stop_at": 5})[0].run.total_steps == 5
    assert translated(tmp_path, changes | {"stop_at": 50})[0].run.total_steps == 6


@pytest.mark.parametrize(("max_duration", "steps"), [(2, 2), (3, 4), (f"{3 * 256}T", 4), (4, 4), (5, 6)])
def test_a_run_ends_with_the_epoch_of_its_last_step(tmp_path: Path, max_duration: object, steps: int) -> None:
    """allenai/OLMo olmo/train.py: max_epochs is max_steps / batches_per_epoch, rounded up; here two batches each."""
    np.zeros(64 * 9, "<u2").tofile(tmp_path / "input_ids.npy")
    assert translated(tmp_path, {"max_duration": max_duration})[0].run.total_steps == steps


def test_named_datasets_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    changes = {"data.paths": None, "data.datasets": {"wiki": ["w"], "books": ["b1", "b2"]}}
    assert translated(tmp_path, changes)[0].data.paths == ["b1", "b2", "w"]


@pytest.mark.parametrize(
    ("strategy", "replicas", "shard", "reshard"),
    [
        ("FULL_SHARD", None, None, True),
        ("SHARD_GRAD_OP", None, None, False),
        ("NO_SHARD", None, 1, False),
        ("HYBRID_SHARD", None, 8, True),
        ("_HYBRID_SHARD_ZERO2", 4, 4, False),
    ],
)
def test_sharding(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strategy: str,
    replicas: int | None,
    shard: int | None,
    reshard: bool,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    fsdp = {"fsdp.sharding_strategy": strategy, "fsdp.hybrid_sharding_num_model_replicas": replicas}
    parallel = translated(tmp_path, fsdp | {"activation_checkpointing": "one_in_two"})[0].parallel
    assert (parallel.shard, parallel.reshard, parallel.recompute) == (shard, reshard, "alternate")


@pytest.mark.parametrize(
    ("intervals", "kept"),
    [
        ({"save_interval": 100}, (100, None)),
        ({"save_interval": 100, "save_num_checkpoints_to_keep": 1}, (None, 100)),
        ({"save_interval": None}, (None, None)),
        ({"save_interval": 100, "save_num_checkpoints_to_keep": 1, "save_interval_unsharded": 500}, (500, 100)),
        ({"save_interval": 100, "save_num_checkpoints_to_keep": 3}, (100, None)),
    ],
)
def test_checkpoints(tmp_path: Path, intervals: dict[str, Any], kept: tuple[int | None, int | None]) -> None:
    keep = translated(tmp_path, intervals)[0].keep
    assert (keep.save_every_steps, keep.ephemeral_every_steps) == kept


def test_shape_counts_half_of_the_old_width(tmp_path: Path) -> None:
    values = classic_values(tmp_path, {"model.mlp_hidden_size": None, "model.mlp_ratio": 8})
    assert shape(ClassicConfig(values, "old.yaml"))["intermediate_size"] == 128  # 8 x 32 / 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.paths": None}, "old.yaml: data.paths is missing; name the token files"),
        ({"data.datasets": {"x": ["y"]}}, "data.paths and data.datasets exclude each other"),
        ({"data.instance_filter": {"repetition_max_count": 3}}, "data.instance_filter is .*, but olmo2 has"),
        ({"scheduler.name": "max_scheduler"}, "scheduler.name 'max_scheduler' has no counterpart here; choose one of"),
        ({"scheduler.units": "weeks"}, "scheduler.units is 'weeks'; write steps or tokens"),
        ({"precision": "amp_fp16"}, "precision 'amp_fp16' has no counterpart here; choose one of amp_bf16, fp32"),
        ({"max_duration": "1e400T"}, "max_duration is '1e400T'; write steps"),
        ({"max_duration": "1.5ep"}, "max_duration is '1.5ep'; write steps"),
        (
            {"load_path": None, "model.init_cutoff_factor": 3, "model.mlp_hidden_size": 129},
            "model.mlp_hidden_size 129 must be even",
        ),
        ({"max_duration": "soon"}, "max_duration is 'soon'; write steps"),
        ({"max_duration": "1ep", "stop_at": 5}, "input_ids.npy"),
        ({"save_folder": None, "run_name": None}, "save_folder is missing; add --save_folder=FOLDER"),
        ({"load_path": None, "model.init_cutoff_factor": 3, "model.embedding_size": 512}, "olmo2 makes 384 rows"),
        ({"optimizer.weight_decay": -1}, "old.yaml: optim.weight_decay"),
        (
            {"fsdp.sharding_strategy": "FULL"},
            "fsdp.sharding_strategy 'FULL' has no counterpart here; choose one",
        ),
        ({"fsdp.hybrid_sharding_num_model_replicas": -2}, "old.yaml: fsdp.hybrid_sharding_num_model_replicas"),
    ],
)
def test_one_sentence_on_what_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        translated(tmp_path, changes)
