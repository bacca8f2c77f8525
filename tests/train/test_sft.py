"""Instruction tuning learns from the assistant's words, and packing changes nothing that is learnt."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from olmo2.base.config import make_recipe
from olmo2.base.metrics import read_metrics
from olmo2.data.batch import IGNORED_LABEL
from olmo2.loss.language_model import language_model_loss
from olmo2.model.transformer import Transformer
from olmo2.train.pretrain import pretrain
from olmo2.train.sft import ConversationDataSettings, SftRecipe, sft
from tests.train.conftest import pretrain_recipe, pretrain_values


def sft_recipe(corpus: Path, load_path: Path, **run: Any) -> SftRecipe:
    values = pretrain_values(corpus, "sft", stage="sft", total_tokens=None, epochs=3, **run)
    del values["model"], values["tokenizer"]
    values["optim"] = {"peak_lr": 1e-2}
    values["data"] = {"paths": [str(corpus / "conversations.jsonl")], "seq_len": 64}
    return make_recipe(SftRecipe, values | {"load_path": str(load_path)}, "test")


def test_it_learns_the_answers(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parent = pretrain(pretrain_recipe(corpus))
    checkpoint = sft(sft_recipe(corpus, parent))
    rows = read_metrics(corpus / "sft")
    assert checkpoint.name.startswith("sft-step") and "200 conversations" in capsys.readouterr().out
    assert rows[-1]["loss_nats"] < 0.6 * rows[0]["loss_nats"]
    assert rows[0]["target_tokens"] < 128  # of 256 positions: prompts and padding are not targets


def test_only_weights_are_taken_over(corpus: Path) -> None:
    parent = pretrain(pretrain_recipe(corpus))
    child = sft(sft_recipe(corpus, parent))
    steps = load_file(child / "trainer" / "optimizer.safetensors")["step"].item()
    assert f"-step{int(steps)}-" in child.name


def losses_of(model: Transformer, corpus: Path, tokenizer: Any, *, pack: bool) -> tuple[float, int]:
    settings = ConversationDataSettings(paths=[str(corpus / "conversations.jsonl")], seq_len=64, pack=pack)
    conversations = settings.conversations(tokenizer)
    import numpy as np

    batch = conversations.batch(np.arange(len(conversations)))
    with torch.no_grad():
        sums = model(
            batch.input_ids,
            document_ids=batch.document_ids,
            head=lambda hidden, weight: language_model_loss(hidden, weight, batch.labels).cross_entropy,
        )
    return sums.item(), int((batch.labels != IGNORED_LABEL).sum())


def test_packed_equals_unpacked(corpus: Path, tiny_model: Transformer, tokenizer: Any) -> None:
    packed, num_packed = losses_of(tiny_model, corpus, tokenizer, pack=True)
    alone, num_alone = losses_of(tiny_model, corpus, tokenizer, pack=False)
    assert num_packed == num_alone
    assert packed / num_packed == pytest.approx(alone / num_alone, abs=1e-5)
