"""Stage 2 goes on with weights and moments, and counts from zero."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from olmo2.base.config import make_recipe
from olmo2.base.errors import UsageError
from olmo2.release.import_ import ImportRecipe, import_
from olmo2.train.midtrain import MidtrainRecipe, midtrain
from olmo2.train.pretrain import pretrain
from tests.train.conftest import pretrain_recipe, pretrain_values


def midtrain_recipe(
    corpus: Path, load_path: Path | str, *, changes: dict[str, Any] | None = None, **run: Any
) -> MidtrainRecipe:
    values = pretrain_values(corpus, "stage2", stage="stage2-ingredient1", **run)
    del values["model"], values["tokenizer"]
    values["schedule"] = {"decay": "linear", "final_lr_ratio": 0}
    return make_recipe(MidtrainRecipe, values | {"load_path": str(load_path)} | (changes or {}), "test")


def test_names_and_counters_start_again(corpus: Path) -> None:
    parent = pretrain(pretrain_recipe(corpus))
    checkpoint = midtrain(midtrain_recipe(corpus, parent))
    state = json.loads((checkpoint / "trainer" / "state.json").read_text())
    assert checkpoint.name == "stage2-ingredient1-step6-tokens1M"
    assert (state["step"], state["tokens"], state["parent"]) == (6, 6 * 256, str(parent))


def test_moments_are_carried_over(corpus: Path) -> None:
    """After one step of stage 2 the second moment still holds 0.95 of stage 1's, and steps count on."""
    parent = pretrain(pretrain_recipe(corpus))
    before = load_file(parent / "trainer" / "optimizer.safetensors")
    after = load_file(midtrain(midtrain_recipe(corpus, parent, total_tokens=256)) / "trainer" / "optimizer.safetensors")
    assert after["step"].item() == before["step"].item() + 1 == 7
    name = "exp_avg_sq.lm_head.weight"
    assert torch.all(after[name] >= 0.95 * before[name] * (1 - 1e-5))
    assert not torch.equal(after[name], before[name])


def test_a_rate_of_zero_leaves_the_weights(corpus: Path) -> None:
    """As the last ten steps of the published stage-2 runs."""
    parent = pretrain(pretrain_recipe(corpus))
    rest = {"schedule": {"decay": "linear", "final_lr_ratio": 0, "horizon_tokens": 1}}
    child = midtrain(midtrain_recipe(corpus, parent, changes=rest))
    first, second = load_file(parent / "model.safetensors"), load_file(child / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_folder_stands_for_its_newest_checkpoint(corpus: Path) -> None:
    parent = pretrain(pretrain_recipe(corpus))
    state = midtrain(midtrain_recipe(corpus, corpus / "run")) / "trainer" / "state.json"
    assert json.loads(state.read_text())["parent"] == str(parent)


def test_missing_checkpoint(corpus: Path) -> None:
    with pytest.raises(UsageError, match="there is no model folder"):
        midtrain(midtrain_recipe(corpus, corpus / "nowhere"))


def test_a_model_without_trainer_state_starts_with_fresh_moments(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_(ImportRecipe(source=str(pretrain(pretrain_recipe(corpus))), output=str(corpus / "imported")))
    checkpoint = midtrain(midtrain_recipe(corpus, corpus / "imported", total_tokens=256))
    assert "imported holds no trainer state: the optimizer's moments start from zero" in capsys.readouterr().out
    assert load_file(checkpoint / "trainer" / "optimizer.safetensors")["step"].item() == 1


def test_another_verb_cannot_go_on_with_the_run(corpus: Path) -> None:
    parent = pretrain(pretrain_recipe(corpus, changes={"verb": "pretrain"}))
    recipe = midtrain_recipe(corpus, parent, changes={"verb": "midtrain", "resume": True})
    run = recipe.run.model_copy(update={"stage": "stage1", "folder": str(parent.parent)})
    with pytest.raises(UsageError, match=r"verb was pretrain, is midtrain: .*run cannot go on with it"):
        midtrain(recipe.model_copy(update={"run": run}))


def test_the_rate_falls_linearly_to_zero_unless_told_otherwise(corpus: Path) -> None:
    values = midtrain_recipe(corpus, "x").model_dump(exclude={"schedule"})
    schedule = make_recipe(MidtrainRecipe, values | {"schedule": {"warmup_ratio": 0.1}}, "test").schedule
    assert (schedule.decay, schedule.final_lr_ratio, schedule.warmup_ratio) == ("linear", 0, 0.1)
    assert make_recipe(MidtrainRecipe, values, "test").schedule.decay == "linear"
