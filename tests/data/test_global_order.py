"""The data order is the published one: PCG64(seed + epoch) shuffles 0, 1, 2, ..."""

from pathlib import Path

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.data.global_order import global_order, load_order, order_path, read_order, write_order


@pytest.mark.parametrize(
    ("seed", "epoch", "frozen"),  # printed by NumPy alone: Generator(PCG64(seed + epoch)).shuffle(arange(10))
    [
        (0, 0, [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]),
        (6198, 0, [2, 4, 7, 3, 8, 9, 0, 6, 1, 5]),
        (6198, 1, [6, 4, 1, 8, 3, 2, 5, 9, 0, 7]),
        (42, 3, [9, 6, 2, 7, 8, 5, 4, 0, 1, 3]),
    ],
)
def test_frozen_orders(seed: int, epoch: int, frozen: list[int]) -> None:
    order = global_order(10, seed, epoch)
    assert order.dtype == np.uint32
    assert order.tolist() == frozen


def test_equals_shuffling_by_hand() -> None:
    """Fisher and Yates from the back, on the plain random bits: no shuffle of NumPy is involved."""
    bits = np.random.PCG64(5 + 2)
    halves = (half for draw in iter(bits.random_raw, None) for half in (draw & 0xFFFFFFFF, draw >> 32))
    by_hand = list(range(20))
    for last in range(19, 0, -1):
        mask = 2 ** last.bit_length() - 1
        other = next(half & mask for half in halves if half & mask <= last)
        by_hand[last], by_hand[other] = by_hand[other], by_hand[last]
    assert global_order(20, seed=5, epoch=2).tolist() == by_hand


def test_epochs_are_successive_seeds() -> None:
    assert global_order(100, seed=7, epoch=3).tolist() == global_order(100, seed=10, epoch=0).tolist()
    assert global_order(100, seed=7, epoch=0).tolist() != global_order(100, seed=7, epoch=1).tolist()


def test_too_many_sequences() -> None:
    with pytest.raises(UsageError, match=r"4,294,967,296 sequences.*seq_len"):
        global_order(2**32, seed=0, epoch=0)


def test_saved_order_reads_back_equal(tmp_path: Path) -> None:
    path = order_path(tmp_path / "order", 1000, seed=1, epoch=2)
    order = global_order(1000, seed=1, epoch=2)
    write_order(path, order)
    assert path.stat().st_size == 4000
    assert np.array_equal(np.fromfile(path, "<u4"), order)
    assert np.array_equal(read_order(path, 1000), order)


def test_saved_order_of_the_wrong_size(tmp_path: Path) -> None:
    path = order_path(tmp_path, 1000, seed=1, epoch=2)
    write_order(path, global_order(999, seed=1, epoch=2))
    with pytest.raises(UsageError, match=f"{path.name}.*delete it"):
        read_order(path, 1000)


def test_only_the_saver_writes(tmp_path: Path) -> None:
    expected = global_order(1000, seed=1, epoch=2)
    assert np.array_equal(load_order(None, 1000, 1, 2, is_saver=True), expected)
    assert np.array_equal(load_order(tmp_path, 1000, 1, 2, is_saver=False), expected)
    assert list(tmp_path.iterdir()) == []
    saved = load_order(tmp_path, 1000, 1, 2, is_saver=True)
    assert np.array_equal(saved, expected)
    assert not saved.flags.owndata  # mapped: in memory once for all processes
    assert np.array_equal(np.fromfile(order_path(tmp_path, 1000, 1, 2), "<u4"), expected)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    path = order_path(tmp_path, 10, seed=1, epoch=0)
    leftover, other = tmp_path / f".partial-77-{path.name}", tmp_path / ".partial-77-other.npy"
    leftover.write_bytes(b"half")
    other.write_bytes(b"half")
    load_order(tmp_path, 10, 1, 0, is_saver=True)
    assert path.exists() and not leftover.exists() and other.exists()
