"""What a run needs is checked before the first step, and every refusal names its setting."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from olmo2.base.errors import UsageError
from olmo2.train.assemble import RunSettings
from olmo2.train.pretrain import pretrain
from tests.train.conftest import pretrain_recipe


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"global_batch_tokens": 250}, r"run\.global_batch_tokens 250 must be a multiple of seq_len 32"),
        ({"global_batch_tokens": 32 * 10_000}, "fewer than one global batch"),
        ({"device": "cuda:7"}, "device"),
        ({"device": "abacus"}, "device"),
    ],
)
def test_impossible_runs(corpus: Path, run: dict[str, Any], message: str) -> None:
    if run.get("device") == "cuda:7" and torch.cuda.device_count() > 7:
        pytest.skip("this machine has eight GPUs")
    with pytest.raises(UsageError, match=message):
        pretrain(pretrain_recipe(corpus, **run))


@pytest.mark.parametrize("lengths", [{}, {"total_tokens": 5, "epochs": 1}])
def test_a_run_has_one_length(lengths: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="set either total_tokens or epochs"):
        RunSettings(folder="x", stage="stage1", global_batch_tokens=1, **lengths)


def test_epochs_give_the_steps(corpus: Path) -> None:
    checkpoint = pretrain(pretrain_recipe(corpus, total_tokens=None, epochs=0.5))
    num_windows = (corpus / "tokens" / "part-00000.npy").stat().st_size // 2 // 32  # uint16 ids
    assert checkpoint.name.startswith(f"stage1-step{round(num_windows // 8 * 0.5)}-")


def test_other_data_are_refused_on_resume(corpus: Path) -> None:
    pretrain(pretrain_recipe(corpus))
    other = pretrain_recipe(corpus, changes={"data": {"paths": [str(corpus / "tokens-heldout")], "seq_len": 32}})
    with pytest.raises(UsageError, match=r"the training data are not those that .* was trained on"):
        pretrain(other.model_copy(update={"resume": True}))


def test_changed_settings_are_said_on_resume(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain(pretrain_recipe(corpus))
    pretrain(pretrain_recipe(corpus, total_tokens=8 * 256, changes={"resume": True}))
    assert "changed since the run began: run.total_tokens was 1536, is 2048" in capsys.readouterr().out


def test_a_folder_of_something_else_is_left_alone(corpus: Path) -> None:
    (corpus / "run").mkdir()
    (corpus / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="already holds a run"):
        pretrain(pretrain_recipe(corpus))
    with pytest.raises(UsageError, match="holds other files and no run"):
        pretrain(pretrain_recipe(corpus, changes={"resume": True}))
    assert [path.name for path in (corpus / "run").iterdir()] == ["thesis.tex"]


def test_a_run_stopped_before_its_first_save_starts_again(corpus: Path) -> None:
    (corpus / "run").mkdir()
    recipe = pretrain_recipe(corpus, changes={"resume": True})
    from olmo2.base.config import write_recipe

    write_recipe(recipe, corpus / "run" / "recipe.yaml")
    assert pretrain(recipe).name == "stage1-step6-tokens1M"


def test_resume_skips_a_torn_checkpoint(corpus: Path) -> None:
    keep = {"keep": {"save_every_steps": 3}}
    last = pretrain(pretrain_recipe(corpus, changes=keep))
    before = (last / "model.safetensors").read_bytes()
    with open(last / "model.safetensors", "r+b") as file:
        file.truncate(1000)
    again = pretrain(pretrain_recipe(corpus, changes=keep | {"resume": True}))  # goes on from step 3
    assert again == last and (again / "model.safetensors").read_bytes() == before
