"""The old trainer's command in this process: overrides in old keys, notes, dry runs, folders set aside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from olmo2.base.errors import UsageError
from olmo2.train import classic
from olmo2.train.classic import put, require_other_folder, set_aside, train_classic
from olmo2.train.pretrain import pretrain
from tests.train.conftest import classic_values, pretrain_recipe


def write_config(folder: Path, changes: dict[str, Any] | None = None) -> str:
    path = folder / "old.yaml"
    path.write_text(yaml.safe_dump(classic_values(folder, changes)))
    return str(path)


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("--reset_trainer_state", {"reset_trainer_state": True}),
        ("--reset-trainer-state=false", {"reset_trainer_state": False}),
        ("--optimizer.learning_rate=1e-5", {"optimizer": {"learning_rate": 1e-5}}),
        ("--max_duration=2e9T", {"max_duration": "2e9T"}),
        ("--data.paths=[/a b/x.npy, y.npy]", {"data": {"paths": ["/a b/x.npy", "y.npy"]}}),
        ('--data.label_mask_paths=["a,b.npy"]', {"data": {"label_mask_paths": ["a,b.npy"]}}),
        ("--wandb=null", {"wandb": None}),
        ("--load_path=gs://x: y", {"load_path": "gs://x: y"}),
    ],
)
def test_overrides(override: str, values: dict[str, Any]) -> None:
    result: dict[str, Any] = {}
    put(result, override, set())
    assert result == values


def test_a_stray_word_is_refused() -> None:
    with pytest.raises(UsageError, match="unexpected argument 'x': settings are written --key=value"):
        put({}, "x", set())


def test_pretraining_and_what_is_said(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.fromfile(next((corpus / "tokens").glob("*.npy")), "<u2").tofile(corpus / "raw.npy")
    changes = {"load_path": None, "model.init_cutoff_factor": 3, "compile": False, "evaluators": []}
    config = write_config(corpus, changes | {"tokenizer.identifier": str(corpus / "tokenizer"), "max_duration": 2})
    train_classic(config, [f"--data.paths=[{corpus}/raw.npy]", "--stop-at=1", "--speed_monitor.window_size=2"])
    assert (corpus / "tuned" / "stage1-step1-tokens1M" / "config.json").is_file()
    assert "not used here: speed_monitor, evaluators\n" in capsys.readouterr().out


def test_a_dry_run_prints_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_classic(write_config(tmp_path), ["--dry_run", "--stop_at=3"])
    recipe = yaml.safe_load(capsys.readouterr().out)
    assert recipe["verb"] == "finetune" and recipe["run"]["total_steps"] == 3
    assert not (tmp_path / "tuned").exists()


def test_other_processes_of_torchrun_stay_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    train_classic(write_config(tmp_path, {"evaluators": []}), ["--dry_run"])
    assert "not used here" not in capsys.readouterr().out


def test_a_config_of_another_size(corpus: Path) -> None:
    parent = pretrain(pretrain_recipe(corpus))
    config = write_config(corpus, {"model.n_layers": 3})
    with pytest.raises(UsageError, match=r"old.yaml: model is not that of load_path \(num_hidden_layers 2 against 3\)"):
        train_classic(config, [f"--load_path={parent}", "--reset_trainer_state"])


def test_save_overwrite_sets_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    set_aside(folder)
    for number in (1, 2):
        folder.mkdir()
        (folder / "recipe.yaml").write_text(str(number))
        set_aside(folder)
        assert (tmp_path / f"run.replaced{number}" / "recipe.yaml").read_text() == str(number)
        assert f"is now in {folder}.replaced{number}" in capsys.readouterr().out
    assert not folder.exists()


def test_other_processes_wait_until_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(classic.time, "sleep", lambda seconds: (folder / "recipe.yaml").unlink())
    set_aside(folder)
    assert folder.is_dir()


@pytest.mark.parametrize("folder", [".", "", ".."])
def test_the_folder_of_the_user_is_not_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match=r"save_folder '\.{1,2}' is the folder in which you are"):
        require_other_folder(Path(folder))
    assert (tmp_path / "here" / "notes.txt").read_text() == "mine"


def test_lists_that_are_given_twice_add_up() -> None:
    values: dict[str, Any] = {"data": {"paths": ["of the config"]}}
    begun: set[str] = set()
    for override in ("--data.paths=[a.npy]", "--data.paths=[b.npy, c.npy]", "--data.label_mask_paths=[m.npy]"):
        put(values, override, begun)
    assert values == {"data": {"paths": ["a.npy", "b.npy", "c.npy"], "label_mask_paths": ["m.npy"]}}
