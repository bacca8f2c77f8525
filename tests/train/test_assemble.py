"""What a run needs is checked before the first step, and every refusal names its setting."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.base.metrics import read_metrics
from olmo2.data.tokenize import TokenizeRecipe, tokenize
from olmo2.parallel import spread as spread_file
from olmo2.tokenizer.byte_pair import train_byte_pair
from olmo2.train import assemble as assemble_file
from olmo2.train.pretrain import pretrain
from tests.train.conftest import new_job, pretrain_recipe


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


def test_epochs_give_the_steps(corpus: Path) -> None:
    checkpoint = pretrain(pretrain_recipe(corpus, total_tokens=None, epochs=0.5))
    num_windows = (corpus / "tokens" / "part-00000.npy").stat().st_size // 2 // 32  # uint16 ids
    assert checkpoint.name.startswith(f"stage1-step{round(num_windows // 8 * 0.5)}-")


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
