"""Every position belongs to one rank, the work of causal attention is even, and gathered parts find their order."""

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.parallel.positions import Positions, natural_order

GRIDS = [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (3, 2)]


def all_ranks(context_ranks: int, tensor_ranks: int) -> list[Positions]:
    return [Positions(context_ranks, c, tensor_ranks, t) for c in range(context_ranks) for t in range(tensor_ranks)]


@pytest.mark.parametrize(("context_ranks", "tensor_ranks"), GRIDS)
def test_every_position_belongs_to_one_rank(context_ranks: int, tensor_ranks: int) -> None:
    own = [ranks.outside_attention(48) for ranks in all_ranks(context_ranks, tensor_ranks)]
    assert len({len(positions) for positions in own}) == 1
    assert sorted(torch.cat(own).tolist()) == list(range(48))


@pytest.mark.parametrize(("context_ranks", "tensor_ranks"), GRIDS)
def test_a_tensor_group_shares_what_its_attention_has(context_ranks: int, tensor_ranks: int) -> None:
    for context_rank in range(context_ranks):
        group = [Positions(context_ranks, context_rank, tensor_ranks, rank) for rank in range(tensor_ranks)]
        together = torch.cat([ranks.outside_attention(48) for ranks in group])
        assert torch.equal(together, group[0].in_attention(48))


def test_causal_attention_costs_every_rank_the_same() -> None:
    """A query at position p meets p + 1 keys."""
    costs = [int((ranks.in_attention(64) + 1).sum()) for ranks in all_ranks(4, 1)]
    assert costs == [sum(range(1, 65)) // 4] * 4


@pytest.mark.parametrize("context_ranks", [1, 2, 4])
def test_gathered_positions_find_their_order(context_ranks: int) -> None:
    gathered = torch.cat([ranks.in_attention(32) for ranks in all_ranks(context_ranks, 1)])
    assert torch.equal(gathered[natural_order(context_ranks, 32)], torch.arange(32))


def test_own_takes_the_columns() -> None:
    values = torch.arange(16).expand(3, 16)
    assert Positions(2, 1).own(values).tolist() == [[4, 5, 6, 7, 8, 9, 10, 11]] * 3
    assert Positions().own(values) is values


@pytest.mark.parametrize(("context_ranks", "tensor_ranks", "multiple"), [(2, 1, 4), (1, 4, 4), (2, 3, 12)])
def test_a_length_that_does_not_divide(context_ranks: int, tensor_ranks: int, multiple: int) -> None:
    ranks = Positions(context_ranks, 0, tensor_ranks, 0)
    ranks.require_divisible(multiple * 3)
    with pytest.raises(UsageError, match=rf"data\.seq_len {multiple * 3 + 1} must be a multiple of {multiple}"):
        ranks.require_divisible(multiple * 3 + 1)
