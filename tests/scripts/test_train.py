"""The classic command as a user types it: conversations to files to a tuned checkpoint, in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from olmo2.cli import status_of
from olmo2.train.pretrain import pretrain
from tests.train.conftest import classic_values, corpus, hasty_peak, pretrain_recipe  # noqa: F401 (fixtures)
from tests.train.test_finetune import NUM_ROWS, SEQ_LEN, torch_step, write_rows

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "train.py"


def train_here(*arguments: object) -> int:
    """Call scripts/train.py's function in this process and return the exit status."""
    specification = importlib.util.spec_from_file_location("classic_script", SCRIPT)
    assert specification and specification.loader
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    return status_of(lambda: script.train([str(argument) for argument in arguments]))


def test_the_classic_command(corpus: Path) -> None:  # noqa: F811
    """One step from a checkpoint's moments, as torch's AdamW takes it, with the rate of step 1 of 10."""
    parent, rows = pretrain(pretrain_recipe(corpus)), write_rows(corpus)
    changes = {
        "load_path": None,
        "optimizer.eps": 1e-6,
        "softmax_auxiliary_loss": True,
        "global_train_batch_size": NUM_ROWS,
        "model.max_sequence_length": SEQ_LEN,
        "compile": False,
        "evaluators": [{"label": "piqa", "type": "downstream"}],
    }
    (corpus / "old.yaml").write_text(yaml.safe_dump(classic_values(corpus, changes)))
    command = [sys.executable, str(SCRIPT), str(corpus / "old.yaml")]
    command += [f"--data.paths=[{rows}/input_ids.npy]", f"--data.label_mask_paths=[{rows}/label_mask.npy]"]
    command += [f"--load_path={parent}", "--reset_trainer_state", "--stop_at=1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not used here: evaluators" in done.stdout
    checkpoint = corpus / "tuned" / "finetune-step1-tokens1M"
    weights = load_file(checkpoint / "model.safetensors")
    expected, _ = torch_step(parent, rows, lr=0.9e-3, has_moments=True)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-5, atol=1e-5)
    assert json.loads((checkpoint / "trainer" / "state.json").read_text())["step"] == 1
    assert load_file(checkpoint / "trainer" / "optimizer.safetensors")["step"].item() == 7


def test_a_recipe_of_ours(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    (corpus / "finetune.yaml").write_text("verb: finetune\nload_path: nowhere/at/all\n")
    assert train_here(corpus / "finetune.yaml", "--data.path=[x]") == 2
    assert capsys.readouterr().err == "olmo2: --data.path: no such setting; did you mean --data.paths?\n"


def test_pretraining_loads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_here("tiny/3-pretrain.yaml", "--load_path=x") == 2
    assert "--load_path needs one whose verb is finetune" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_here("--help") == 0
    assert "scripts/train.py CONFIG [--setting=value ...]" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--load_path=x"]])
def test_no_config(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert train_here(*arguments) == 2
    assert capsys.readouterr().err.startswith("olmo2: scripts/train.py wants a recipe or config first")


def test_rows_of_another_length(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    parent, rows = pretrain(pretrain_recipe(corpus)), write_rows(corpus)
    changes = {"load_path": str(parent), "model.max_sequence_length": 32}
    (corpus / "old.yaml").write_text(yaml.safe_dump(classic_values(corpus, changes)))
    assert train_here(corpus / "old.yaml", f"--data.paths=[{rows}/input_ids.npy]", "--reset_trainer_state") == 2
    said = capsys.readouterr().err
    assert "holds rows of 64 tokens, but data.seq_len (model.max_sequence_length" in said
    assert said.count("\n") == 1 and not (corpus / "tuned").exists()
