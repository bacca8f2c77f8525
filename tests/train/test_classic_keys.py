"""Reading an old config: defaults, types, references between keys, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.train.classic_keys import DECAY, FIXED, INITIAL, TRANSLATED, UNUSED, ClassicConfig
from tests.train.conftest import classic_values


def read(tmp_path: Path, changes: dict[str, Any] | None = None) -> ClassicConfig:
    return ClassicConfig(classic_values(tmp_path, changes), "old.yaml")


def test_every_key_is_of_one_kind() -> None:
    keys = [*TRANSLATED, *FIXED, *INITIAL, *DECAY, *UNUSED]
    assert len(keys) == len(set(keys))


def test_what_is_left_out_has_the_old_default(tmp_path: Path) -> None:
    old = read(tmp_path)
    assert old["optimizer.eps"] == 1e-5 and old["data.memmap_dtype"] == "uint16"
    assert old["save_interval"] == 1000 and old["optimizer.betas"] == (0.9, 0.95)


def test_null_is_a_value_of_a_key_and_no_group(tmp_path: Path) -> None:
    old = read(tmp_path, {"save_interval": None, "wandb": None, "fsdp": None, "compile": None})
    assert old["save_interval"] is None and old["wandb.project"] is None and old.unused == []


def test_numbers_are_texts_where_texts_are_wanted(tmp_path: Path) -> None:
    old = read(tmp_path, {"run_name": 7, "max_duration": 5})
    assert old["run_name"] == "7" and old["max_duration"] == 5


def test_references_are_resolved(tmp_path: Path) -> None:
    changes = {"run_name": "mine", "save_folder": "work/${run_name}/x", "device_train_microbatch_size": 3}
    old = read(tmp_path, changes | {"stop_at": "${device_train_microbatch_size}", "wandb.name": "${oc.env:USER}"})
    assert old["save_folder"] == "work/mine/x" and old["stop_at"] == 3
    with pytest.raises(UsageError, match=r"old.yaml: save_folder is '\$\{path.choose:/a,/b\}', which olmo2 cannot"):
        read(tmp_path, {"save_folder": "${path.choose:/a,/b}"})
    nested = {"run_name": "mine", "remote_save_folder": "runs/${run_name}", "save_folder": "${remote_save_folder}"}
    assert read(tmp_path, nested)["save_folder"] == "runs/mine"
    with pytest.raises(UsageError, match="which olmo2 cannot resolve"):
        read(tmp_path, {"run_name": "${save_folder}", "save_folder": "${run_name}"})


def test_what_has_no_use_here_is_named(tmp_path: Path) -> None:
    changes = {"speed_monitor.window_size": 1, "evaluators": [{"label": "piqa"}], "wandb.tags": None, "ddp": None}
    assert read(tmp_path, changes | {"fsdp.precision": "mixed"}).unused == [
        "speed_monitor", "evaluators", "fsdp.precision",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser.learning_rate": 1}, "old.yaml: optimiser.learning_rate: the old trainer has no such key; did you"),
        ({"optimizer.learning_rate": "fast"}, "old.yaml: optimizer.learning_rate: input should be a valid number"),
        ({"optimizer.learning_rate": 0}, "old.yaml: optimizer.learning_rate: input should be greater than 0"),
        ({"global_train_batch_size": 0}, "old.yaml: global_train_batch_size: input should be greater than 0"),
        ({"model.max_sequence_length": 0}, "old.yaml: model.max_sequence_length: input should be greater than 0"),
        ({"data.paths": "one.npy"}, "old.yaml: data.paths: input should be a valid list"),
        ({"optimizer.name": "lionw"}, "old.yaml: optimizer.name is 'lionw', but olmo2 trains with 'adamw' only"),
        ({"model.norm_after": False}, "old.yaml: model.norm_after is False, but olmo2 trains with True only"),
        ({"model.clip_qkv": 8}, "model.clip_qkv is 8, but olmo2 trains with None only"),
        ({"data.custom_dataset.name": "x"}, "data.custom_dataset is .*, but olmo2 trains with None only"),
        ({"optimizer.decay_embeddings": True}, "optimizer.decay_embeddings is True"),
        ({"max_grad_norm_ratio": 2.0}, "max_grad_norm_ratio is 2.0"),
        ({"epoch": 1}, "epoch is 1"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, changes)


def test_a_missing_key_whose_default_is_another_is_refused(tmp_path: Path) -> None:
    values = classic_values(tmp_path)
    del values["model"]["rope_theta"]
    with pytest.raises(UsageError, match=r"rope_theta is missing, which means 10000, but olmo2 trains with 500000"):
        ClassicConfig(values, "old.yaml")
    del values["model"]["rope"]
    both = r"model\.rope is missing.*; model\.rope_theta is missing.* with 500000 only: set them to that"
    with pytest.raises(UsageError, match=both):
        ClassicConfig(values, "old.yaml")


def test_initial_weights_matter_only_where_they_are_made(tmp_path: Path) -> None:
    assert read(tmp_path, {"model.init_std": 0.5})["load_path"]
    with pytest.raises(UsageError, match=r"model.init_std is 0.5"):
        read(tmp_path, {"model.init_std": 0.5, "model.init_cutoff_factor": 3, "load_path": None})


def test_groups_of_decay_matter_only_with_decay(tmp_path: Path) -> None:
    changes = {"optimizer.weight_decay": 0, "optimizer.decay_norm_and_bias": False}
    assert read(tmp_path, changes)["optimizer.weight_decay"] == 0
