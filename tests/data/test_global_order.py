"""The data order is the published one: PCG64(seed + epoch) shuffles 0, 1, 2, ..."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.data import global_order as global_order_module
from olmo2.data.global_order import global_order, load_order, order_path, read_order, require_whole, write_order


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


def order_by_hand(num_sequences: int, seed: int, epoch: int, together: int) -> list[int]:
    """OLMo-core's rule with plain lists: the groups are shuffled as single sequences of so many would be."""
    groups = list(range(num_sequences // together))
    np.random.Generator(np.random.PCG64(seed + epoch)).shuffle(shuffled := np.array(groups))
    return [group * together + place for group in shuffled.tolist() for place in range(together)]


@pytest.mark.parametrize(("num_sequences", "together"), [(20, 2), (21, 3), (8, 8), (100_000, 4), (100, 1)])
def test_groups_stay_together(monkeypatch: pytest.MonkeyPatch, num_sequences: int, together: int) -> None:
    """Whether they are spread out in one block or in many, of which some write where others were read."""
    expected = order_by_hand(num_sequences, 34521, 1, together)
    for block in (2**20, 1000, 7):
        monkeypatch.setattr("olmo2.data.global_order.BLOCK", block)
        order = global_order(num_sequences, 34521, 1, together)
        assert order.dtype == np.uint32
        assert order.tolist() == expected


def test_frozen_pairs() -> None:
    """Printed by OLMo-core's _build_global_indices for 12 instances in chunks of 2, with seed 34521 and epoch 1."""
    assert global_order(12, 34521, 1, 2).tolist() == [8, 9, 0, 1, 10, 11, 2, 3, 4, 5, 6, 7]


def test_variants_have_files_of_their_own(tmp_path: Path) -> None:
    variants = [(seed, epoch, together) for seed in (1, 2) for epoch in (0, 1) for together in (1, 2, 4)]
    for seed, epoch, together in variants:
        load_order(tmp_path, 1000, seed, epoch, together, is_saver=True)
    for seed, epoch, together in variants:
        saved = load_order(tmp_path, 1000, seed, epoch, together, is_saver=False)
        assert saved.tolist() == order_by_hand(1000, seed, epoch, together)
    assert len(list(tmp_path.iterdir())) == len(variants)
    assert (tmp_path / "order-seed1-epoch0-of1000.npy").exists()  # under this name since the first release


MAKE_A_LARGE_ORDER = """
from pathlib import Path
from olmo2.data.global_order import global_order
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
before = peak()
print(len(global_order(16_000_000, 1, 1, 2)), peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory as Linux reports it")
def test_groups_take_no_second_copy() -> None:
    """64 MB here; 4 GB for a billion sequences, which have to fit in five."""
    output = subprocess.run([sys.executable, "-c", MAKE_A_LARGE_ORDER], capture_output=True, text=True, check=True)
    length, extra_bytes = map(int, output.stdout.split())
    assert length == 16_000_000
    assert extra_bytes < 4 * length + 40e6


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    path = order_path(tmp_path, 10, seed=1, epoch=0)
    leftover, other = tmp_path / f".partial-77-{path.name}", tmp_path / ".partial-77-other.npy"
    leftover.write_bytes(b"half")
    other.write_bytes(b"half")
    load_order(tmp_path, 10, 1, 0, is_saver=True)
    assert path.exists() and not leftover.exists() and other.exists()


@pytest.mark.parametrize("damage", ["zeros", "twice", "beyond"])
def test_a_damaged_order_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(global_order_module, "BLOCK", 8)
    order = np.arange(100, dtype="<u4")[::-1].copy()
    if damage == "zeros":
        order[40:60] = 0
    elif damage == "twice":
        order[3] = order[4]
    else:
        order[0], order[1] = order[0] + 50, order[1] - 50  # of the same sum
    order.tofile(tmp_path / "order.npy")
    with pytest.raises(UsageError, match=r"order\.npy is damaged: it does not hold every sequence once; delete it"):
        require_whole(tmp_path / "order.npy", read_order(tmp_path / "order.npy", 100))


def test_the_saver_looks_at_an_order_that_was_there(tmp_path: Path) -> None:
    load_order(tmp_path, 100, 1, 0, is_saver=True)
    path = order_path(tmp_path, 100, 1, 0)
    np.zeros(100, "<u4").tofile(path)
    with pytest.raises(UsageError, match="is damaged"):
        load_order(tmp_path, 100, 1, 0, is_saver=True)
