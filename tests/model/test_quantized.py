"""Weights of 8 and 4 bits: packed as compressed-tensors packs them, rounded as well as they can be."""

import pytest
import torch
from torch import Tensor

from olmo2.base.errors import UsageError
from olmo2.model.linear import Linear
from olmo2.model.quantized import (
    QuantizedLinear,
    Scheme,
    dequantize,
    linear_names,
    make_room,
    pack,
    quantize,
    unpack,
)
from olmo2.model.transformer import Transformer


def random_weight(rows: int = 24, columns: int = 256) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) * 0.05


@pytest.mark.parametrize("bits", [8, 4])
def test_packing_is_that_of_compressed_tensors(bits: int) -> None:
    reason = "the format is compared with the library of its name"
    helpers = pytest.importorskip("compressed_tensors.compressors.pack_quantized.helpers", reason=reason)
    half = 2 ** (bits - 1)
    numbers = torch.randint(-half, half, (12, 64), generator=torch.Generator().manual_seed(1), dtype=torch.int8)
    packed = pack(numbers.int(), bits)
    assert torch.equal(packed, helpers.pack_to_int32(numbers, bits))
    assert torch.equal(unpack(packed, bits), numbers)


def test_8_bits_are_absmax_rounding() -> None:
    weight = random_weight()
    packed, scale = quantize(weight, Scheme(8))
    assert torch.equal(scale[:, 0], weight.abs().amax(dim=1) / 127)
    assert torch.equal(unpack(packed, 8).float(), (weight / scale).round())
    error = (dequantize(packed, scale, 8) - weight).abs()
    assert (error <= 0.5001 * scale).all()


def test_4_bits_are_no_worse_than_absmax_rounding_of_each_group() -> None:
    weight = random_weight()
    packed, scale = quantize(weight, Scheme(4, 32))
    assert scale.shape == (24, 8)
    grouped = weight.unflatten(1, (8, 32))
    plain = grouped.abs().amax(dim=2, keepdim=True) / 7
    plain_error = ((grouped / plain).round() * plain - grouped).square().sum(dim=2)
    error = (dequantize(packed, scale, 4) - weight).square().unflatten(1, (8, 32)).sum(dim=2)
    assert (error <= plain_error * 1.0001).all() and error.sum() < 0.95 * plain_error.sum()


def test_scales_are_rounded_before_they_are_used() -> None:
    weight = random_weight().bfloat16()
    packed, scale = quantize(weight, Scheme(8))
    assert scale.dtype == torch.bfloat16
    assert torch.equal(unpack(packed, 8).float(), (weight.float() / scale.float()).round().clamp(-128, 127))


def test_zeros_stay_zeros() -> None:
    for scheme in (Scheme(8), Scheme(4, 64)):
        packed, scale = quantize(torch.zeros(4, 64), scheme)
        assert torch.equal(dequantize(packed, scale, scheme.bits), torch.zeros(4, 64))


def test_a_layer_computes_with_what_it_holds() -> None:
    weight = random_weight()
    layer = QuantizedLinear(256, 24, Scheme(4, 128), torch.float32, "layer")
    layer.weight_packed, layer.weight_scale = quantize(weight, layer.scheme)
    x = torch.randn(3, 256)
    torch.testing.assert_close(layer(x), x @ dequantize(layer.weight_packed, layer.weight_scale, 4).T)
    assert (layer(x) - x @ weight.T).square().mean() < 0.02 * (x @ weight.T).square().mean()
    assert layer(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("scheme", [Scheme(8), Scheme(4, 48), Scheme(4, 100)])
def test_columns_that_do_not_divide(scheme: Scheme) -> None:
    with pytest.raises(UsageError, match=r"layer has 99 columns, which cannot be packed in [48] bits"):
        quantize(torch.randn(4, 99), scheme, "layer")


def test_room_is_made_by_name(tiny_model: Transformer) -> None:
    names = linear_names(tiny_model)
    assert len(names) == 2 * 7 + 1 and "lm_head" in names
    make_room(tiny_model, {"model.layers.1.mlp.up_proj": Scheme(8)}, torch.bfloat16)
    made = tiny_model.get_submodule("model.layers.1.mlp.up_proj")
    assert isinstance(made, QuantizedLinear) and made.weight_scale.dtype == torch.bfloat16
    assert isinstance(tiny_model.get_submodule("model.layers.0.mlp.up_proj"), Linear)
    assert linear_names(tiny_model) == names


def test_rows_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = random_weight()
    whole = quantize(weight, Scheme(4, 64))
    monkeypatch.setattr("olmo2.model.quantized.CHUNK_NUMBERS", 256 * 5)
    assert all(torch.equal(left, right) for left, right in zip(quantize(weight, Scheme(4, 64)), whole, strict=True))
