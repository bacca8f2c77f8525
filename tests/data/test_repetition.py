"""The filter of repetitive sequences against its definition, tried one position after another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmo2.data.repetition import is_repetitive, longest_run


def is_repetitive_slow(ids: list[int]) -> bool:
    """Look for a pattern of 1 to 13 tokens that stands 32 times in a row, at every place and for every length."""
    for period in range(1, 14):
        for start in range(len(ids) - 32 * period + 1):
            if ids[start : start + 32 * period] == ids[start : start + period] * 32:
                return True
    return False


def sequence_with(period: int, num_tokens: int, start: int, length: int) -> np.ndarray:
    """Return distinct tokens, of which `num_tokens` from `start` on repeat a pattern of `period` distinct ones."""
    ids = np.arange(1000, 1000 + length)
    ids[start : start + num_tokens] = np.resize(np.arange(period), num_tokens)
    return ids


@pytest.mark.parametrize("period", range(1, 14))
@pytest.mark.parametrize(("repeats", "is_caught"), [(31, False), (32, True), (33, True)])
def test_thirty_two_repeats_are_too_many(period: int, repeats: int, is_caught: bool) -> None:
    num_tokens, length = repeats * period, 600
    for start in (0, 1, 77, length - num_tokens - 1, length - num_tokens):  # both edges too
        ids = sequence_with(period, num_tokens, start, length)
        assert is_repetitive(ids[None]).tolist() == [is_caught]
        assert is_repetitive_slow(ids.tolist()) is is_caught


@pytest.mark.parametrize("period", range(1, 14))
def test_one_token_short_of_thirty_two_is_kept(period: int) -> None:
    for start in (0, 5, 600 - 32 * period + 1):
        assert not is_repetitive(sequence_with(period, 32 * period - 1, start, 600)[None]).any()


def test_period_of_fourteen_is_not_caught() -> None:
    assert not is_repetitive(sequence_with(14, 14 * 100, 10, 2000)[None]).any()


def test_every_row_is_judged_alone() -> None:
    rows = np.stack([sequence_with(3, n, 200, 500) for n in (95, 96, 0, 200)])
    assert is_repetitive(rows).tolist() == [False, True, False, True]
    assert is_repetitive(rows[:0]).tolist() == []


@pytest.mark.parametrize("length", [1, 2, 13, 31, 32])
def test_short_sequences(length: int) -> None:
    assert is_repetitive(np.zeros((1, length), dtype=np.int64)).tolist() == [length >= 32]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_equals_the_slow_search(data: st.DataObject) -> None:
    ids: list[int] = []
    for _ in range(data.draw(st.integers(1, 3))):  # stretches of a pattern, a little longer or shorter than the limit
        pattern = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=14))
        ids += data.draw(st.lists(st.integers(0, 3), max_size=5))
        ids += np.resize(pattern, max(1, 32 * len(pattern) + data.draw(st.integers(-3, 3)))).tolist()
    assert is_repetitive(np.array([ids])).tolist() == [is_repetitive_slow(ids)]


def test_longest_run() -> None:
    assert longest_run(np.array([True, True, False, True])) == 2
    assert longest_run(np.array([False, True, True, True])) == 3
    assert longest_run(np.array([False])) == 0
    assert longest_run(np.array([], dtype=bool)) == 0


def test_words_as_often_as_they_occur_are_no_repetition() -> None:
    ids = np.random.default_rng(0).zipf(1.3, size=(128, 4096)) % 100_000
    assert not is_repetitive(ids).any()
