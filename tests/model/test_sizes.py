"""The table of shapes, and what a bad shape says."""

from dataclasses import FrozenInstanceError, replace

import pytest

from olmo2.base.errors import UsageError
from olmo2.model.flops import num_parameters
from olmo2.model.sizes import SIZES, model_config, padded_vocabulary
from tests.model.reference import small_config


@pytest.mark.parametrize(
    ("num_ids", "num_rows"),
    [(1, 128), (127, 128), (128, 128), (129, 256), (380, 384), (50_280, 50_304), (100_278, 100_352)],
)
def test_vocabularies_are_padded_to_128(num_ids: int, num_rows: int) -> None:
    assert padded_vocabulary(num_ids) == num_rows
    assert model_config("olmo2-1m", vocab_size=num_ids).vocab_size == num_rows


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_its_row_of_the_table(size: str) -> None:
    assert model_config(size) == SIZES[size]
    assert SIZES[size].vocab_size == 100_352
    assert SIZES[size].max_position_embeddings == 4096
    assert (SIZES[size].rope_theta, SIZES[size].rms_norm_eps, SIZES[size].initializer_range) == (500_000, 1e-6, 0.02)


@pytest.mark.parametrize("size", [size for size in SIZES if size.endswith("m")])
def test_small_sizes_are_named_after_their_blocks(size: str) -> None:
    blocks = num_parameters(SIZES[size], has_embedding=False, has_lm_head=False)
    assert int(size.removeprefix("olmo2-")[:-1]) == pytest.approx(blocks / 1e6, abs=0.6)


def test_published_head_widths_are_128() -> None:
    assert {SIZES[size].head_dim for size in ("olmo2-1b", "olmo2-7b", "olmo2-13b", "olmo2-32b")} == {128}


def test_single_fields_can_be_changed() -> None:
    changed = model_config("olmo2-1m", num_hidden_layers=3, rope_theta=10.0)
    assert changed == replace(SIZES["olmo2-1m"], num_hidden_layers=3, rope_theta=10.0)


def test_an_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"model\.size.*'olmo2-8b'.*olmo2-1m.*olmo2-32b"):
        model_config("olmo2-8b")


@pytest.mark.parametrize(
    "name",
    ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
     "vocab_size", "max_position_embeddings"],
)  # fmt: skip
@pytest.mark.parametrize("value", [0, -4])
def test_counts_must_be_positive(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=rf"model\.{name} must be at least 1, not {value}"):
        replace(small_config(), **{name: value})


@pytest.mark.parametrize("name", ["rope_theta", "rms_norm_eps", "initializer_range"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_fractions_must_be_finite_and_positive(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"model\.{name} must be a number above 0, not {value}"):
        replace(small_config(), **{name: value})


@pytest.mark.parametrize("hidden_size", [30, 33, 36])  # no multiple of 4 heads, odd, heads of odd width
def test_heads_must_have_an_even_width(hidden_size: int) -> None:
    with pytest.raises(UsageError, match=rf"model\.hidden_size {hidden_size} .*model\.num_attention_heads 4"):
        replace(small_config(), hidden_size=hidden_size)


@pytest.mark.parametrize("num_key_value_heads", [3, 8])
def test_key_value_heads_must_divide_the_heads(num_key_value_heads: int) -> None:
    message = rf"model\.num_attention_heads 4 .*model\.num_key_value_heads {num_key_value_heads}"
    with pytest.raises(UsageError, match=message):
        replace(small_config(), num_key_value_heads=num_key_value_heads)


def test_a_shape_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        small_config().hidden_size = 64  # type: ignore[misc]
