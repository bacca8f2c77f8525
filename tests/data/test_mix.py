"""Mixes: shares as close to the ratios as whole windows allow, and no window more often than its cap."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from olmo2.base.errors import UsageError
from olmo2.data.mix import MixedWindows, MixSource, pick, require_enough, scrambled, shares
from olmo2.data.token_files import open_tokens
from olmo2.data.windows import Windows


def ratios() -> st.SearchStrategy[list[float]]:
    return st.lists(st.integers(1, 1000), min_size=1, max_size=6).map(
        lambda weights: [weight / sum(weights) for weight in weights]
    )


@settings(deadline=None, max_examples=60)
@given(ratios(), st.integers(1, 10**10))
def test_shares_are_within_one_of_their_ratios_and_sum_exactly(parts: list[float], total: int) -> None:
    counts = shares(parts, total)
    assert sum(counts) == total
    assert all(abs(count - part * total) < 1 + 1e-4 for count, part in zip(counts, parts, strict=True))


def test_largest_remainders_are_rounded_up() -> None:
    """Hamilton's method on the textbook's example of 100 seats, and ties to the first."""
    votes = [47_000, 16_000, 15_900, 12_000, 6_000, 3_100]
    assert shares([vote / 100_000 for vote in votes], 10) == [5, 2, 1, 1, 1, 0]
    assert shares([0.5, 0.5], 3) == [2, 1]


@pytest.mark.parametrize("parts", [[0.5], [0.5, 0.6], [0.333, 0.333, 0.333]])
def test_ratios_that_do_not_sum_to_1(parts: list[float]) -> None:
    with pytest.raises(UsageError, match=r"data\.mix: the ratios sum to .*make them sum to 1"):
        shares(parts, 10)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 300), st.integers(0, 2**63 - 1))
def test_no_window_comes_more_than_once_more_than_another(available: int, wanted: int, seed: int) -> None:
    windows, passes = pick(np.arange(wanted, dtype=np.uint64), wanted=wanted, available=available, seed=seed)
    counts = Counter(windows.tolist())
    assert set(counts) <= set(range(available))
    assert {counts[window] for window in range(available)} <= {wanted // available, -(-wanted // available)}
    assert len(set(zip(windows.tolist(), passes.tolist(), strict=True))) == wanted  # a window once in each pass
    assert max(passes) == (wanted - 1) // available


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 2**32), st.data())
def test_any_number_is_found_alone_and_the_rest_is_spread(
    available: int, wanted: int, seed: int, data: st.DataObject
) -> None:
    assume(wanted < 4 * available)
    number = data.draw(st.integers(0, wanted - 1))
    alone, passed = pick(np.array([number], dtype=np.uint64), wanted=wanted, available=available, seed=seed)
    others = np.array(sorted({number, 0, wanted - 1}), dtype=np.uint64)
    together, _ = pick(others, wanted=wanted, available=available, seed=seed)
    assert alone[0] == together[others.tolist().index(number)]
    assert passed[0] == number // available
    rest = wanted % available
    if number < wanted - rest:
        assert alone[0] == number % available
    else:
        place = number % available
        assert place * available // rest <= alone[0] < (place + 1) * available // rest


def test_the_rest_depends_on_the_seed_and_favours_no_window() -> None:
    numbers = np.arange(30, dtype=np.uint64)
    drawn = [pick(numbers, wanted=30, available=90, seed=seed)[0].tolist() for seed in range(300)]
    assert drawn[0] != drawn[1]
    counts = Counter(window for windows in drawn for window in windows)
    assert set(counts) == set(range(90))
    assert max(counts.values()) < 160 and min(counts.values()) > 50  # 100 each on average


def test_splitmix64_gives_its_published_numbers() -> None:
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert scrambled(np.arange(4, dtype=np.uint64), seed=1234567).tolist() == expected


def make_mix(folder: Path, *, wanted: list[int], seed: int = 3) -> MixedWindows:
    """Two sources: windows 0, 1, ... 4 in two files and 10, 11, 12 in one; every token of a window is its number."""
    paths = []
    for name, numbers in (("a", [0, 1, 2]), ("b", [3, 4]), ("c", [10, 11, 12])):
        np.repeat(np.array(numbers, dtype="<u2"), 4).tofile(folder / f"{name}.npy")
        paths.append(str(folder / f"{name}.npy"))
    windows = Windows(open_tokens(paths, "uint16"), seq_len=4, vocab_size=100)
    return MixedWindows(windows, available=[5, 3], wanted=wanted, seed=seed)


def test_a_mix_reads_whole_passes_and_a_part(tmp_path: Path) -> None:
    mix = make_mix(tmp_path, wanted=[3, 7])
    assert len(mix) == 10
    batch = mix.batch(np.arange(10))
    assert batch.input_ids.shape == (10, 4)
    numbers = batch.input_ids[:, 0].tolist()
    assert set(numbers[:3]) < {0, 1, 2, 3, 4} and len(set(numbers[:3])) == 3
    assert numbers[3:9] == [10, 11, 12, 10, 11, 12] and numbers[9] in (10, 11, 12)
    assert mix.batch(np.array([9, 0, 4])).input_ids[:, 0].tolist() == [numbers[9], numbers[0], numbers[4]]
    assert mix.locate(np.array([2, 3, 6, 9]))[1].tolist() == [0, 0, 1, 2]


def test_fingerprint_covers_what_is_taken(tmp_path: Path) -> None:
    same = make_mix(tmp_path, wanted=[3, 7]).fingerprint()
    assert make_mix(tmp_path, wanted=[3, 7]).fingerprint() == same
    others = [make_mix(tmp_path, wanted=[4, 6]), make_mix(tmp_path, wanted=[3, 7], seed=4)]
    assert same not in {other.fingerprint() for other in others}
    assert make_mix(tmp_path, wanted=[3, 7]).windows.fingerprint() != same


def test_the_cap_names_the_source() -> None:
    sources = [MixSource(paths=["web"], ratio=0.7), MixSource(paths=["math", "x"], ratio=0.3, max_repetition=2)]
    require_enough(sources, [70, 30], [70, 15], seq_len=4)
    with pytest.raises(
        UsageError, match=r"data\.mix\.1: 0\.3 of the mix is 124 tokens, but math .and 1 more. holds 60 .* is 2; lower"
    ):
        require_enough(sources, [70, 31], [70, 15], seq_len=4)
    with pytest.raises(UsageError, match=r"data\.mix\.0: .*web holds 0 "):
        require_enough(sources, [1, 1], [0, 15], seq_len=4)


@pytest.mark.parametrize("wrong", [{"ratio": 0}, {"ratio": 1.5}, {"max_repetition": 0}, {"paths": []}])
def test_a_source_that_makes_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MixSource.model_validate({"paths": ["a"], "ratio": 0.5, **wrong})
