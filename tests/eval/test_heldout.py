"""Held-out loss against torch, and bits per byte against counting by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from olmo2.data.batch import IGNORED_LABEL, Batch
from olmo2.eval.heldout import HeldOut, cross_entropy_of_rows, heldout_batches, heldout_loss, pooled
from olmo2.loss.language_model import ChunkedLoss
from olmo2.model.transformer import Transformer
from olmo2.parallel.ranks import alone


class Fixed:
    """Ten sequences of sixteen tokens, half of the last one masked."""

    seq_len = 16

    def __init__(self) -> None:
        self.ids = torch.randint(0, 400, (10, 16), generator=torch.Generator().manual_seed(0))
        self.labels = torch.roll(self.ids, -1, dims=1)
        self.labels[:, -1] = IGNORED_LABEL
        self.labels[9, 8:] = IGNORED_LABEL

    def __len__(self) -> int:
        return 10

    def batch(self, indices: np.ndarray) -> Batch:
        return Batch(self.ids[indices], self.labels[indices], None)

    def fingerprint(self) -> str:
        return "fixed"


@torch.no_grad()
@pytest.mark.parametrize("batch_sequences", [1, 3, 10])
def test_equals_torch_and_counting(tiny_model: Transformer, batch_sequences: int) -> None:
    data = Fixed()
    token_bytes = np.arange(512) % 7
    batches = heldout_batches(data, batch_sequences=batch_sequences, max_tokens=10**6)
    assert max(len(batch.input_ids) for batch in batches) == batch_sequences
    found = heldout_loss(tiny_model, batches, token_bytes, alone())
    logits = tiny_model(data.ids).flatten(0, 1)
    nats = F.cross_entropy(logits, data.labels.flatten(), ignore_index=IGNORED_LABEL, reduction="sum").item()
    targets = [label for label in data.labels.flatten().tolist() if label != IGNORED_LABEL]
    assert found.num_tokens == len(targets)
    assert found.loss_nats == pytest.approx(nats / len(targets), rel=1e-5)
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / sum(label % 7 for label in targets), rel=1e-5)


def test_a_limit_takes_sequences_from_all_over() -> None:
    seen: list[int] = []

    class Watched(Fixed):
        def batch(self, indices: np.ndarray) -> Batch:
            seen.extend(indices.tolist())
            return super().batch(indices)

    heldout_batches(Watched(), batch_sequences=2, max_tokens=16 * 4)
    assert seen == [0, 3, 6, 9]


def test_pooled_by_hand() -> None:
    together = pooled([HeldOut(nats=6.0, num_tokens=2, num_bytes=4), HeldOut(nats=2.0, num_tokens=6, num_bytes=12)])
    assert together.loss_nats == 1.0
    assert together.bits_per_byte == pytest.approx(0.5 / math.log(2))


@torch.no_grad()
def test_rows_equal_torch(tiny_model: Transformer) -> None:
    data = Fixed()
    data.labels[4] = IGNORED_LABEL
    rows = cross_entropy_of_rows(tiny_model, Batch(data.ids, data.labels, None))
    logits = tiny_model(data.ids).transpose(1, 2)
    expected = F.cross_entropy(logits, data.labels, ignore_index=IGNORED_LABEL, reduction="none").sum(dim=1)
    torch.testing.assert_close(rows, expected, rtol=1e-5, atol=1e-5)
    assert rows[4] == 0


def test_no_gradient_is_computed(tiny_model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the output matrix alone would take as much memory as the matrix in float32, for nothing."""
    needed: list[bool] = []
    real = ChunkedLoss.forward

    def watched(ctx: Any, *arguments: Any) -> Any:
        needed.extend(ctx.needs_input_grad)
        return real(ctx, *arguments)

    monkeypatch.setattr(ChunkedLoss, "forward", watched)
    batches = heldout_batches(Fixed(), batch_sequences=10, max_tokens=160)
    heldout_loss(tiny_model, batches, np.ones(512), alone())
    assert needed and not any(needed)
