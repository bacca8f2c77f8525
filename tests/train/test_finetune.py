"""Fine-tuning: which counters and moments come along, and one step of it against torch's own AdamW."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from olmo2.base.config import make_recipe
from olmo2.base.errors import UsageError
from olmo2.base.metrics import read_metrics
from olmo2.checkpoint.folder import load_model
from olmo2.data.tokenize_chats import TokenizeChatsRecipe, tokenize_chats
from olmo2.release.import_ import ImportRecipe, import_
from olmo2.tokenizer.tokenizer import Tokenizer, load_tokenizer
from olmo2.train.finetune import FinetuneDataSettings, FinetuneRecipe, finetune
from olmo2.train.pretrain import pretrain
from tests.train.conftest import pretrain_recipe, pretrain_values, write_corpus

NUM_ROWS, SEQ_LEN = 4, 64  # one global batch: every step reads all of it, in whatever order
BATCH_TOKENS = NUM_ROWS * SEQ_LEN
PARENT_STEPS, HORIZON_STEPS = 6, 10
PEAK_LR, Z_LOSS = 1e-3, 1e-4
ROUNDING = 1e-5  # a hundredth of a step: where a gradient is hardly larger than eps, its own rounding shows
SCHEDULE = {"warmup_tokens": 256, "decay": "cosine", "horizon_tokens": 2560, "final_lr_ratio": 0.1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """The corpus, shared by all tests: runs go to a folder of each test's own."""
    return write_corpus(tmp_path_factory.mktemp("corpus"), tokenizer)


@pytest.fixture(scope="module")
def parent(corpus: Path) -> Path:
    """A checkpoint after six steps on plain text."""
    return pretrain(pretrain_recipe(corpus, changes={"schedule": SCHEDULE}))


@pytest.fixture(scope="module")
def rows(corpus: Path) -> Path:
    """The folder of a few tokenized conversations."""
    return write_rows(corpus)


def write_rows(corpus: Path) -> Path:
    lines = (corpus / "conversations.jsonl").read_text().splitlines()[:NUM_ROWS]
    (corpus / "few.jsonl").write_text("\n".join(lines))
    tokenize_chats(
        TokenizeChatsRecipe(
            conversations=[str(corpus / "few.jsonl")],
            output=str(corpus / "rows"),
            tokenizer=str(corpus / "tokenizer"),
            seq_len=SEQ_LEN,
        )
    )
    return corpus / "rows"


def data_values(rows: Path) -> dict[str, Any]:
    return {
        "paths": [str(rows / "input_ids.npy")],
        "label_mask_paths": [str(rows / "label_mask.npy")],
        "seq_len": SEQ_LEN,
    }


def finetune_recipe(
    tmp_path: Path, load_path: Path, changes: dict[str, Any] | None = None, **run: Any
) -> FinetuneRecipe:
    """A run in tmp_path/tuned with a rate that falls linearly to zero over ten steps, seen from step 0."""
    corpus = load_path.parent.parent if load_path.name.startswith("stage1") else load_path.parent
    length: dict[str, Any] = {"folder": str(tmp_path / "tuned"), "stage": "finetune", "total_tokens": None}
    values = pretrain_values(corpus, **length | run)
    del values["model"], values["tokenizer"], values["heldout"]
    values |= {
        "load_path": str(load_path),
        "data": data_values(corpus / "rows"),
        "optim": {"peak_lr": PEAK_LR, "eps": 1e-6},
        "schedule": {"horizon_tokens": HORIZON_STEPS * BATCH_TOKENS},
        "loss": {"z_loss_weight": Z_LOSS},
    }
    return make_recipe(FinetuneRecipe, values | (changes or {}), "test")


def raw_rows(rows: Path) -> tuple[Tensor, Tensor]:
    """Ids and targets of all rows, read as plain bytes."""
    ids = np.frombuffer((rows / "input_ids.npy").read_bytes(), "<u2").astype(np.int64).reshape(-1, SEQ_LEN)
    mask = np.frombuffer((rows / "label_mask.npy").read_bytes(), np.bool_).reshape(-1, SEQ_LEN)
    return torch.tensor(ids), torch.tensor(mask)


def torch_step(parent: Path, rows: Path, *, lr: float, has_moments: bool) -> tuple[dict[str, Tensor], float]:
    """Take one step with torch's AdamW and a loss over all logits; return the new weights and the mean loss."""
    model, _ = load_model(parent, dtype=torch.float32)
    ids, mask = raw_rows(rows)
    logits = model(ids)[:, :-1][mask[:, 1:]]  # a position predicts the token after it
    cross_entropy = F.cross_entropy(logits, ids[:, 1:][mask[:, 1:]])
    (cross_entropy + Z_LOSS * logits.logsumexp(-1).square().mean()).backward()
    norm = torch.cat([each.grad.flatten() for each in model.parameters()]).norm()
    named = dict(model.named_parameters())
    embedding = named["model.embed_tokens.weight"]
    optimizer = torch.optim.AdamW(
        [
            {"params": [each for each in named.values() if each is not embedding], "weight_decay": 0.1},
            {"params": [embedding], "weight_decay": 0.0},
        ],
        lr=lr,
        betas=(0.9, 0.95),
        eps=1e-6,
        fused=False,
    )
    stored = load_file(parent / "trainer" / "optimizer.safetensors")
    for name, parameter in named.items():
        parameter.grad = parameter.grad * min(1.0, 1.0 / (norm.item() + 1e-6))
        if has_moments:
            moments = {key: stored[f"{key}.{name}"].clone() for key in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": stored["step"].clone(), **moments}
    optimizer.step()
    return {name: parameter.detach() for name, parameter in named.items()}, cross_entropy.item()


@pytest.mark.parametrize(
    ("resets", "warmup_steps", "step", "share_of_peak", "has_moments"),
    [
        (("reset_trainer_state",), 0, 1, 0.9, True),
        (("reset_trainer_state", "reset_optimizer_state"), 0, 1, 0.9, False),
        ((), 0, 7, 0.3, True),
        (("reset_optimizer_state",), 0, 7, 0.3, False),
        # One more warm-up of two steps, to where the schedule is at step 8: (10 - 8) / (10 - 2).
        (("reset_optimizer_state",), 2, 7, 0.25 / 2, False),
        ((), 2, 7, 3 / 8, True),
    ],
)
def test_one_step_is_that_of_torch(
    tmp_path: Path,
    parent: Path,
    rows: Path,
    resets: tuple[str, ...],
    warmup_steps: int,
    step: int,
    share_of_peak: float,
    has_moments: bool,
) -> None:
    schedule = {"horizon_tokens": HORIZON_STEPS * BATCH_TOKENS, "warmup_tokens": warmup_steps * BATCH_TOKENS}
    changes = dict.fromkeys(resets, True) | {"schedule": schedule}
    checkpoint = finetune(finetune_recipe(tmp_path, parent, changes, total_steps=step))
    assert checkpoint.name == f"finetune-step{step}-tokens1M"
    state = json.loads((checkpoint / "trainer" / "state.json").read_text())
    assert (state["step"], state["tokens"], state["parent"]) == (step, step * BATCH_TOKENS, str(parent))
    (logged,) = read_metrics(tmp_path / "tuned")
    assert logged["lr"] == pytest.approx(share_of_peak * PEAK_LR)

    expected, loss = torch_step(parent, rows, lr=share_of_peak * PEAK_LR, has_moments=has_moments)
    assert logged["loss_nats"] == pytest.approx(loss, rel=1e-5)
    assert logged["target_tokens"] == int(raw_rows(rows)[1].sum())
    weights, before = load_file(checkpoint / "model.safetensors"), load_file(parent / "model.safetensors")
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-5, atol=ROUNDING)
    assert not torch.equal(weights["lm_head.weight"], before["lm_head.weight"])
    adam_steps = load_file(checkpoint / "trainer" / "optimizer.safetensors")["step"].item()
    assert adam_steps == (PARENT_STEPS + 1 if has_moments else 1)


def test_without_resets_a_run_goes_on_as_if_it_had_never_stopped(tmp_path: Path, corpus: Path, parent: Path) -> None:
    """Six steps and two more on the same data are eight, bit for bit: schedule, data, moments, history of steps."""
    whole = pretrain(pretrain_recipe(corpus, "whole", changes={"schedule": SCHEDULE}, total_tokens=8 * 256))
    values = pretrain_values(corpus)
    changes = {
        "data": values["data"] | {"repetition_filter": True},
        "optim": values["optim"],
        "schedule": SCHEDULE,
    }
    child = finetune(finetune_recipe(tmp_path, parent, changes, total_steps=8))
    for file in ("model.safetensors", "trainer/optimizer.safetensors"):
        ours, theirs = load_file(child / file), load_file(whole / file)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    states = [json.loads((folder / "trainer" / "state.json").read_text()) for folder in (child, whole)]
    assert states[0]["history"] == states[1]["history"] and states[0]["data"] == states[1]["data"]


def test_a_tuned_run_is_resumed_where_it_stopped(tmp_path: Path, parent: Path, rows: Path) -> None:
    """Also its second warm-up, whose place is taken from the run and not from a load_path that is gone."""
    changes = {
        "reset_optimizer_state": True,
        "schedule": {"horizon_tokens": HORIZON_STEPS * BATCH_TOKENS, "warmup_tokens": 3 * BATCH_TOKENS},
    }
    whole = finetune(finetune_recipe(tmp_path, parent, changes, total_steps=9, folder=str(tmp_path / "whole")))
    finetune(finetune_recipe(tmp_path, parent, changes, total_steps=7))
    gone = parent.with_name("stage1-gone")
    resumed = finetune(finetune_recipe(tmp_path, gone, changes | {"resume": True}, total_steps=9))
    ours, theirs = load_file(resumed / "model.safetensors"), load_file(whole / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_labels_are_those_of_the_old_trainer(corpus: Path, rows: Path) -> None:
    """allenai/OLMo olmo/train.py, get_labels: where the mask is False -100, then shifted left by one."""
    tokenizer = load_tokenizer(corpus / "tokenizer")
    batch = FinetuneDataSettings(**data_values(rows)).windows(tokenizer).batch(np.arange(NUM_ROWS))
    ids, mask = raw_rows(rows)
    old = ids.masked_fill(~mask, -100)[:, 1:]
    assert torch.equal(batch.input_ids, ids)
    assert torch.equal(batch.labels[:, :-1], old) and (batch.labels[:, -1] == -100).all()
    assert (ids == tokenizer.pad_id).any() and not (batch.labels == tokenizer.pad_id).any()


def test_files_with_a_numpy_header_give_the_same_batches(corpus: Path, rows: Path) -> None:
    tokenizer = load_tokenizer(corpus / "tokenizer")
    raw = FinetuneDataSettings(**data_values(rows)).windows(tokenizer)
    (corpus / "saved").mkdir()
    np.save(corpus / "saved" / "input_ids.npy", np.fromfile(rows / "input_ids.npy", "<u2"))
    np.save(corpus / "saved" / "label_mask.npy", np.fromfile(rows / "label_mask.npy", np.bool_))
    saved = FinetuneDataSettings(**data_values(corpus / "saved"), dtype="uint32").windows(tokenizer)
    indices = np.arange(NUM_ROWS)
    assert torch.equal(raw.batch(indices).input_ids, saved.batch(indices).input_ids)
    assert torch.equal(raw.batch(indices).labels, saved.batch(indices).labels)


def test_padding_does_not_count_as_repetition(corpus: Path, rows: Path) -> None:
    """A row with 32 and more paddings repeats itself; the filter of pretraining would leave nothing to learn."""
    tokenizer = load_tokenizer(corpus / "tokenizer")
    few = raw_rows(rows)[0]
    assert ((few == tokenizer.pad_id).sum(dim=1) >= 32).any()
    batch = FinetuneDataSettings(**data_values(rows)).windows(tokenizer).batch(np.arange(NUM_ROWS))
    assert ((batch.labels != -100).sum(dim=1) > 0).all()


def test_a_model_without_trainer_state(
    tmp_path: Path, corpus: Path, parent: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_(ImportRecipe(source=str(parent), output=str(corpus / "imported")))
    with pytest.raises(UsageError, match="no step to go on from; add --reset_trainer_state"):
        finetune(finetune_recipe(tmp_path, corpus / "imported", total_steps=1))
    assert not (tmp_path / "tuned").exists()
    finetune(finetune_recipe(tmp_path, corpus / "imported", {"reset_trainer_state": True}, total_steps=1))
    assert "the optimizer's moments start from zero" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            {"total_steps": 6},
            "is at step 6 and the run ends at step 6, so nothing is left to do; .*--reset",
        ),
        (
            {"total_steps": 9, "global_batch_tokens": 128},
            "needs run.global_batch_tokens 256, not 128; set it, or count",
        ),
    ],
)
def test_what_cannot_go_on(tmp_path: Path, parent: Path, rows: Path, run: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        finetune(finetune_recipe(tmp_path, parent, **run))
    assert not (tmp_path / "tuned").exists()


def test_other_data_are_pointed_out(
    tmp_path: Path, parent: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune(finetune_recipe(tmp_path, parent, total_steps=7))
    printed = capsys.readouterr().out
    assert f"the data are not those of {parent}: step 7 reads" in printed
    assert f"goes on after step 6 of {parent}: 1,536 tokens of the data are passed over; --reset_trainer_st" in printed
