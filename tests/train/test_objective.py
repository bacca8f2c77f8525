"""What a step's sums are means of, and language modelling with either reduction."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from olmo2.data.batch import IGNORED_LABEL, Batch
from olmo2.model.transformer import Transformer
from olmo2.train.objective import Objective, next_token, num_documents, num_targets


def conversations(lengths: list[int]) -> list[tuple[Tensor, Tensor]]:
    """Tokens of conversations, and labels of which the first third is a prompt."""
    torch.manual_seed(0)
    made = []
    for length in lengths:
        ids = torch.randint(1, 512, (length,))
        labels = torch.cat([ids[1:], torch.tensor([IGNORED_LABEL])])
        labels[: length // 3] = IGNORED_LABEL
        made.append((ids, labels))
    return made


def batch_of(rows: list[list[tuple[Tensor, Tensor]]], seq_len: int) -> Batch:
    """Rows of one or several conversations, padded at their end."""
    shape = (len(rows), seq_len)
    input_ids = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED_LABEL)
    document_ids = torch.full(shape, -1, dtype=torch.int32)
    for row, packed in enumerate(rows):
        end = 0
        for number, (ids, targets) in enumerate(packed):
            start, end = end, end + len(ids)
            input_ids[row, start:end], labels[row, start:end], document_ids[row, start:end] = ids, targets, number
    return Batch(input_ids, labels, document_ids)


def gradient(model: Transformer, objective: Objective, batch: Batch) -> list[Tensor]:
    model.zero_grad()
    (objective.loss_of(model, batch).total / objective.divisor(batch)).backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_counts() -> None:
    made = conversations([9, 6, 12])
    packed = batch_of([[made[0], made[1]], [made[2]]], 16)
    assert num_documents(packed) == 3 and num_targets(packed) == (9 - 3 - 1) + (6 - 2 - 1) + (12 - 4 - 1)
    assert num_documents(batch_of([[made[0]], [made[1]], [made[2]]], 12)) == 3
    assert num_documents(Batch(packed.input_ids, packed.labels, None)) == 2
    assert num_documents(batch_of([[made[0]], []], 9)) == 1


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_packing_does_not_change_loss_and_gradient(tiny_model: Transformer, reduction: str) -> None:
    made = conversations([9, 6, 12, 5])
    alone, packed = batch_of([[each] for each in made], 14), batch_of([[made[2]], [made[0], made[3]], [made[1]]], 14)
    objective = next_token(1e-4, reduction)  # type: ignore[arg-type]
    for left, right in zip(
        gradient(tiny_model, objective, alone), gradient(tiny_model, objective, packed), strict=True
    ):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)
    sums = [objective.loss_of(tiny_model, batch).reported for batch in (alone, packed)]
    torch.testing.assert_close(sums[0], sums[1], atol=1e-4, rtol=1e-6)
    assert objective.count is num_targets


def test_sum_is_the_mean_over_conversations_of_their_summed_losses(tiny_model: Transformer) -> None:
    made = conversations([9, 6, 12])
    losses = []
    for ids, labels in made:
        logits = tiny_model(ids[None])[0]
        losses.append(F.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="sum"))
    torch.stack(losses).mean().backward()
    expected = [parameter.grad.clone() for parameter in tiny_model.parameters() if parameter.grad is not None]
    found = gradient(tiny_model, next_token(0.0, "sum"), batch_of([[made[0], made[1]], [made[2]]], 16))
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-4)


def test_sum_points_where_the_mean_does(tiny_model: Transformer) -> None:
    made = conversations([9, 6, 12])
    batch = batch_of([made[:2], made[2:]], 16)
    means, sums = (gradient(tiny_model, next_token(0.0, kind), batch) for kind in ("mean", "sum"))  # type: ignore[arg-type]
    for mean, sum_ in zip(means, sums, strict=True):
        torch.testing.assert_close(sum_, mean * num_targets(batch) / 3, atol=1e-5, rtol=1e-4)
