"""Held-out pairs are measured as a whole, however they are put into batches."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from olmo2.data.batch import IGNORED_LABEL
from olmo2.data.preferences import Preferences, ResponseDataSettings
from olmo2.parallel.ranks import alone
from olmo2.tokenizer.tokenizer import Tokenizer
from olmo2.train import heldout_pairs
from olmo2.train.heldout_pairs import pair_evaluation, with_heldout_pairs
from olmo2.train.preference_objective import MEASURES, PreferenceLossSettings
from tests.train import trl_dpo


@pytest.fixture
def pairs(tmp_path: Path, tokenizer: Tokenizer) -> Preferences:
    """Four pairs, with made-up numbers of a reference."""
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, trl_dpo.rows())))
    found = ResponseDataSettings(paths=[str(tmp_path / "pairs.jsonl")], seq_len=200, pack=False).pairs(tokenizer)
    found.reference_logprobs = -100 - np.arange(8, dtype=np.float32)
    return found


@pytest.mark.parametrize("batch_sequences", [1, 3, 4])
def test_means_over_all_pairs(pairs: Preferences, batch_sequences: int) -> None:
    objective, model = PreferenceLossSettings(beta=0.5).objective(), trl_dpo.small_model(0.0)
    evaluate = pair_evaluation(objective, pairs, batch_sequences=batch_sequences, ranks=alone())
    with torch.no_grad():
        expected = objective.loss_of(model, pairs.batch(np.arange(4))).reported / 4
    names = ["heldout_pairs/loss_nats", *(f"heldout_{name}" for name in MEASURES)]
    assert evaluate(model) == pytest.approx(dict(zip(names, expected.tolist(), strict=True)), abs=1e-5, rel=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_rank_that_only_goes_along_adds_nothing(pairs: Preferences, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, model = PreferenceLossSettings(beta=0.5).objective(), trl_dpo.small_model(0.0)
    whole = pairs.batch(np.arange(4))
    nothing = replace(whole, labels=torch.full_like(whole.labels, IGNORED_LABEL))
    monkeypatch.setattr(heldout_pairs, "own_batches", lambda batches, ranks: [whole, nothing])
    twice = heldout_pairs.means(model, objective, [], alone())
    monkeypatch.setattr(heldout_pairs, "own_batches", lambda batches, ranks: [whole])
    assert twice == heldout_pairs.means(model, objective, [], alone())


def test_they_are_measured_beside_all_else(pairs: Preferences) -> None:
    job: Any = SimpleNamespace(
        evaluate=lambda model: {"heldout_loss_nats": 1.5},
        recipe=SimpleNamespace(run=SimpleNamespace(micro_batch_sequences=2)),
        ranks=alone(),
    )
    found = with_heldout_pairs(job, PreferenceLossSettings().objective(), [pairs]).evaluate(trl_dpo.small_model(0.0))
    assert found["heldout_loss_nats"] == 1.5 and 0 <= found["heldout_pairs/accuracy"] <= 1
