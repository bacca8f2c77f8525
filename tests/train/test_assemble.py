"""What a run needs is checked before the first step, and every refusal names its setting."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from olmo2.base.config import write_recipe
from olmo2.base.errors import RunError, UsageError
from olmo2.base.metrics import read_metrics
from olmo2.data.tokenize import TokenizeRecipe, tokenize
from olmo2.parallel import spread as spread_file
from olmo2.tokenizer.byte_pair import train_byte_pair
from olmo2.train import assemble as assemble_file
from olmo2.train.assemble import RunSettings
from olmo2.train.pretrain import pretrain
from tests.train.conftest import TINY_MODEL, new_job, pretrain_recipe


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
    with pytest.raises(ValidationError, match="set exactly one of total_tokens, total_steps and epochs"):
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"paths": ["tokens"], "seq_len": 256}},
            r"data\.seq_len 256 is longer than the 128 tokens of",
        ),
        ({"heldout": {"paths": ["foreign.npy"], "dtype": "uint16"}}, r"foreign\.npy: token 0 has the id 60000"),
        ({"heldout": {"paths": ["foreign.npy"]}}, r"foreign\.npy has no header"),
        ({"heldout": {"paths": ["nowhere"]}}, "nowhere"),
    ],
)
def test_a_refused_recipe_leaves_no_run_behind(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    """So the corrected command is not told that the folder already holds a run."""
    monkeypatch.chdir(corpus)
    np.full(4000, 60_000, dtype="<u2").tofile("foreign.npy")
    with pytest.raises(UsageError, match=message):
        pretrain(pretrain_recipe(corpus, changes=changes))
    assert not (corpus / "run").exists()


@pytest.mark.parametrize("part", ["data", "heldout"])
def test_tokens_of_another_tokenizer_are_refused(corpus: Path, part: str) -> None:
    other = train_byte_pair(["entirely different words were read here"] * 9, vocab_size=300)
    (corpus / "other").mkdir()
    other.save(corpus / "other")
    tokenize(
        TokenizeRecipe(
            documents=[str(corpus / "text.jsonl")], tokenizer=str(corpus / "other"), output=str(corpus / "foreign")
        )
    )
    changes = {part: {"paths": [str(corpus / "foreign")]} | ({"seq_len": 32} if part == "data" else {})}
    with pytest.raises(UsageError, match=r"foreign was tokenized with another tokenizer than the model's"):
        pretrain(pretrain_recipe(corpus, changes=changes))


@pytest.mark.parametrize(
    ("run", "changes", "message"),
    [
        ({"seed": 5}, {}, r"run\.seed was 6198, is 5: .*run cannot go on with it"),
        ({"global_batch_tokens": 512}, {}, r"run\.global_batch_tokens was 256, is 512"),
        ({}, {"model": TINY_MODEL | {"hidden_size": 64}}, r"model\.hidden_size was 32, is 64"),
        ({}, {"data": {"paths": ["tokens"], "seq_len": 64}}, r"data\.seq_len was 32, is 64"),
    ],
)
def test_what_decides_weights_and_data_cannot_change_on_resume(
    corpus: Path, run: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    pretrain(pretrain_recipe(corpus))
    stored = (corpus / "run" / "recipe.yaml").read_text()
    with pytest.raises(UsageError, match=message):
        pretrain(pretrain_recipe(corpus, changes=changes | {"resume": True}, **run))
    assert (corpus / "run" / "recipe.yaml").read_text() == stored


def test_killed_while_first_saving_starts_again(corpus: Path) -> None:
    recipe = pretrain_recipe(corpus, changes={"resume": True})
    (corpus / "run" / ".partial-999-stage1-step3-tokens1M").mkdir(parents=True)
    write_recipe(recipe, corpus / "run" / "recipe.yaml")
    assert pretrain(recipe).name == "stage1-step6-tokens1M"
    assert not list((corpus / "run").glob(".partial-*"))


def test_a_lone_torn_checkpoint_is_named(corpus: Path) -> None:
    checkpoint = pretrain(pretrain_recipe(corpus))
    (checkpoint / "config.json").unlink()
    with pytest.raises(RunError, match=rf"{checkpoint.name} is torn \(config\.json is missing\) and no other"):
        pretrain(pretrain_recipe(corpus, changes={"resume": True}))


def test_a_shorter_length_finds_the_run_complete(corpus: Path) -> None:
    checkpoint = pretrain(pretrain_recipe(corpus))
    assert pretrain(pretrain_recipe(corpus, total_tokens=3 * 256, changes={"resume": True})) == checkpoint


def test_held_out_text_that_repeats_itself_counts(corpus: Path) -> None:
    np.full(4000, 7, dtype="<u2").tofile(corpus / "sevens.npy")
    heldout = {"paths": [str(corpus / "sevens.npy")], "dtype": "uint16"}
    pretrain(pretrain_recipe(corpus, changes={"heldout": heldout}))
    assert read_metrics(corpus / "run")[-1]["heldout_loss_nats"] > 0.1


def test_number_format_compilation_and_allocator_reach_the_model(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(spread_file, "compile_blocks", lambda model, choice, device: calls.append(choice))
    monkeypatch.setattr(assemble_file, "tune_allocator", lambda: calls.append("allocator"))
    recipe = pretrain_recipe(corpus, dtype="bf16", compile=True)
    job = new_job(recipe)
    assert job.model.model.compute_dtype == torch.bfloat16
    assert job.model.lm_head.weight.dtype == torch.float32
    assert calls == ["allocator", True]
