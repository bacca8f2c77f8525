"""What config.json says of quantized weights is read back, and what is of another kind is refused."""

from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.checkpoint.quantized_config import matches, quantization_config, schemes_of
from olmo2.model.quantized import Scheme

NAMES = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj", "lm_head"]


def described(**changes: Any) -> dict[str, Any]:
    config = quantization_config(Scheme(4, 128), Scheme(8))
    config["config_groups"]["group_0"]["weights"] |= changes
    return {"quantization_config": config}


def test_there_and_back() -> None:
    for blocks, head in ((Scheme(8), Scheme(8)), (Scheme(4, 128), Scheme(8)), (Scheme(8), None)):
        values = {"quantization_config": quantization_config(blocks, head)}
        expected = {NAMES[0]: blocks, NAMES[1]: blocks} | ({"lm_head": head} if head else {})
        assert schemes_of(values, NAMES, "config.json") == expected


def test_without_quantization() -> None:
    assert schemes_of({}, NAMES, "config.json") == {}
    assert schemes_of({"quantization_config": None}, NAMES, "config.json") == {}


def test_the_class_name_means_all_that_are_not_ignored() -> None:
    values = {"quantization_config": quantization_config(Scheme(8), None)}
    values["quantization_config"]["config_groups"]["group_0"]["targets"] = ["Linear"]
    assert schemes_of(values, NAMES, "config.json") == {NAMES[0]: Scheme(8), NAMES[1]: Scheme(8)}


@pytest.mark.parametrize(
    "values",
    [
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
        {"quantization_config": []},
        {"quantization_config": "8"},
        described(num_bits=3),
        described(type="float"),
        described(symmetric=False),
        described(strategy="tensor"),
        described(group_size=None),
        described(actorder="group"),
    ],
)
def test_other_kinds_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"x/config.json: its weights are quantized in a way that cannot be read"):
        schemes_of(values, NAMES, "x/config.json")


def test_targets() -> None:
    assert matches("lm_head", "lm_head") and not matches("head", "lm_head")
    assert matches("re:.*head$", "lm_head") and not matches("re:head", "lm_head")
