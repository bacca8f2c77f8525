"""Reading foreign configs and counts: what is there, what is missing, what is not OLMo 2."""

from typing import Any

import pytest
import torch

from olmo2.base.errors import RunError, UsageError
from olmo2.release.foreign import (
    look_up,
    model_config,
    require_constants,
    required,
    required_int,
    single_step,
    trainer_counts,
)
from tests.conftest import TINY

VALUES = {"model": {"d_model": 32, "norm": {"bias": False}, "name": "tiny", "nothing": None}}


def test_dotted_keys() -> None:
    assert look_up(VALUES, "model.norm.bias") is False
    assert look_up(VALUES, "model.name.bias") is None
    assert look_up(None, "model") is None
    assert required_int(VALUES, "model.d_model", "config.yaml") == 32
    for key in ("model.d_ff", "model.nothing", "d_model"):
        with pytest.raises(UsageError, match=rf"config\.yaml: {key} is missing"):
            required(VALUES, key, "config.yaml")
    for key in ("model.name", "model.norm.bias"):
        with pytest.raises(UsageError, match=f"{key} must be a whole number"):
            required_int(VALUES, key, "config.yaml")


def test_constants() -> None:
    require_constants(VALUES, {"model.norm.bias": (False,), "model.clip_qkv": (None, 0)}, "config.yaml")
    with pytest.raises(UsageError, match=r"config\.yaml: model\.rope is None, but in OLMo 2 it is always True"):
        require_constants(VALUES, {"model.rope": (True,)}, "config.yaml")


def test_shapes_are_checked() -> None:
    shape = {name: getattr(TINY, name) for name in TINY.__dataclass_fields__}
    assert model_config("config.yaml", **shape) == TINY
    with pytest.raises(UsageError, match=r"config\.yaml: hidden_size must be a number of type int, not '32'"):
        model_config("config.yaml", **shape | {"hidden_size": "32"})
    with pytest.raises(UsageError, match=r"config\.yaml: num_attention_heads 5 must be a multiple"):
        model_config("config.yaml", **shape | {"num_attention_heads": 5, "hidden_size": 30})


def test_one_step_count_for_all() -> None:
    assert single_step([torch.tensor(7.0), 7, 7.0], "optim.pt") == 7.0
    with pytest.raises(RunError, match=r"optim\.pt counted \[6\.0, 7\.0\] steps"):
        single_step([torch.tensor(7.0), 6], "optim.pt")
    with pytest.raises(RunError, match="counted no steps"):
        single_step([], "optim.pt")


@pytest.mark.parametrize("state", [None, [], {}, {"global_step": 5}, {"global_step": 0, "global_train_tokens_seen": 9}])
def test_counts_that_are_not_there(state: Any) -> None:
    with pytest.raises(RunError, match=r"train\.pt holds no global_step and global_train_tokens_seen above 0"):
        trainer_counts(state, "train.pt")
    assert trainer_counts({"global_step": 5, "global_train_tokens_seen": 9, "more": 1}, "train.pt") == (5, 9)
