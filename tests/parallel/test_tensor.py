"""What cannot be shared by a tensor group is said; equality with one device is shown by test_spread.py."""

from dataclasses import replace

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.parallel.tensor import local_weight, require_divisible
from tests.conftest import TINY


@pytest.mark.parametrize(
    ("tensor_ranks", "changes", "name"),
    [
        (4, {}, "num_key_value_heads 2"),
        (3, {}, "num_attention_heads 4"),
        (2, {"intermediate_size": 63}, "intermediate_size 63"),
    ],
)
def test_heads_and_width_must_divide(tensor_ranks: int, changes: dict[str, int], name: str) -> None:
    with pytest.raises(UsageError, match=rf"parallel\.tensor {tensor_ranks} must divide the model's {name}"):
        require_divisible(replace(TINY, **changes), tensor_ranks)
    require_divisible(TINY, 2)


def test_a_weight_on_one_device_is_local() -> None:
    weight = torch.ones(2)
    assert local_weight(weight) is weight
