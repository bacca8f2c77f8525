"""Renamed and split tensors: against hand-made ones, and what does not fit."""

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.release.legacy_olmo import fused_layout
from olmo2.release.renaming import ForeignTensors, Header, RenamedTensors
from tests.conftest import TINY
from tests.release.foreign_checkpoints import Reference, legacy_names

LAYOUT = fused_layout(TINY.num_hidden_layers)


def foreign(tensors: dict[str, torch.Tensor]) -> ForeignTensors:
    headers = {name: Header(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    return ForeignTensors("step7: the model", headers, tensors.__getitem__)


def test_every_tensor_is_found_in_its_rows(reference: Reference) -> None:
    renamed = RenamedTensors(foreign(legacy_names(reference.weights)), LAYOUT, TINY)
    assert set(renamed) == set(reference.weights)
    assert len(renamed) == len(reference.weights)
    for name, weight in reference.weights.items():
        assert torch.equal(renamed[name], weight), name
        assert renamed.shapes[name] == weight.shape
    assert renamed.dtype == torch.float32


def test_nothing_is_read_before_it_is_asked_for(reference: Reference) -> None:
    tensors = legacy_names(reference.weights)
    asked = []

    def read(name: str) -> torch.Tensor:
        asked.append(name)
        return tensors[name]

    renamed = RenamedTensors(ForeignTensors("step7", foreign(tensors).headers, read), LAYOUT, TINY)
    assert asked == []
    assert renamed["model.layers.1.self_attn.v_proj.weight"].shape == (16, 32)
    assert asked == ["transformer.blocks.1.att_proj.weight"]


def test_the_narrowest_dtype_that_holds_all(reference: Reference) -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in legacy_names(reference.weights).items()}
    assert RenamedTensors(foreign(tensors), LAYOUT, TINY).dtype == torch.bfloat16
    tensors["transformer.wte.weight"] = tensors["transformer.wte.weight"].half()
    assert RenamedTensors(foreign(tensors), LAYOUT, TINY).dtype == torch.float32


def test_what_does_not_fit_is_named(reference: Reference) -> None:
    tensors = legacy_names(reference.weights)
    bias = tensors | {"transformer.blocks.0.att_proj.bias": torch.zeros(64)}
    with pytest.raises(UsageError, match=r"holds transformer\.blocks\.0\.att_proj\.bias, which an OLMo 2 model"):
        RenamedTensors(foreign(bias), LAYOUT, TINY)
    fewer = {name: tensor for name, tensor in tensors.items() if name != "transformer.ff_out.weight"}
    with pytest.raises(UsageError, match=r"lacks transformer\.ff_out\.weight"):
        RenamedTensors(foreign(fewer), LAYOUT, TINY)
    other = tensors | {"transformer.wte.weight": torch.zeros(500, 32)}
    with pytest.raises(UsageError, match=r"wte\.weight has shape \(500, 32\), but its config asks for \(512, 32\)"):
        RenamedTensors(foreign(other), LAYOUT, TINY)
    whole = tensors | {"transformer.ln_f.weight": torch.ones(32, dtype=torch.int8)}
    with pytest.raises(UsageError, match=r"ln_f\.weight is stored as torch\.int8"):
        RenamedTensors(foreign(whole), LAYOUT, TINY)
