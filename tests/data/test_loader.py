"""The loader: one global order for any number of ranks, the same batches from any starting step."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.data.batch import Batch
from olmo2.data.loader import Loader
from olmo2.data.step_plan import Phase
from olmo2.data.token_files import open_tokens
from olmo2.data.windows import Windows


class Numbers:
    """Sequences of one token: their own number. Remembers which were asked for."""

    seq_len = 1
    shuffle_together = 1

    def __init__(self, num_sequences: int, broken: int | None = None) -> None:
        self.num_sequences = num_sequences
        self.broken = broken
        self.reads = 0

    def __len__(self) -> int:
        return self.num_sequences

    def batch(self, indices: np.ndarray) -> Batch:
        self.reads += 1
        if self.broken in indices:
            raise UsageError(f"sequence {self.broken} is broken")
        numbers = torch.from_numpy(indices)[:, None]
        return Batch(numbers, numbers, None)

    def fingerprint(self) -> str:
        return str(self.num_sequences)


def numbers(batch: Batch) -> list[int]:
    found: list[int] = batch.input_ids[:, 0].tolist()
    return found


def make_loader(num_sequences: int = 26, batch: int = 4, seed: int = 3, **settings: object) -> Loader:
    return Loader(Numbers(num_sequences), global_batch_sequences=batch, seed=seed, **settings)  # type: ignore[arg-type]


def published_order(num_sequences: int, seed: int) -> list[int]:
    order = np.arange(num_sequences, dtype=np.uint32)
    np.random.Generator(np.random.PCG64(seed)).shuffle(order)
    return order.tolist()


def test_steps_walk_through_the_published_order_and_drop_the_tail() -> None:
    loader = make_loader(26, batch=4, seed=3)
    assert loader.steps_per_epoch == 6
    for epoch in range(3):
        steps = range(1 + 6 * epoch, 7 + 6 * epoch)
        seen = [number for step in steps for number in numbers(loader.batch(step))]
        assert seen == published_order(26, seed=3 + epoch)[:24]


def test_epochs_are_shuffled_anew() -> None:
    loader = make_loader(8, batch=8)
    first, second = numbers(loader.batch(1)), numbers(loader.batch(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(8))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_global_batch_does_not_depend_on_the_ranks(world_size: int) -> None:
    ranks = [make_loader(rank=rank, world_size=world_size) for rank in range(world_size)]
    for step in range(1, 15):
        shares = [numbers(loader.batch(step)) for loader in ranks]
        assert [len(share) for share in shares] == [4 // world_size] * world_size
        together = [0] * 4
        for rank, share in enumerate(shares):
            together[rank::world_size] = share
        assert together == numbers(make_loader().batch(step))


@pytest.mark.parametrize("first_step", [1, 2, 6, 7, 20])
def test_resuming_equals_going_through(first_step: int) -> None:
    through = [numbers(batch) for batch in make_loader().batches(1, 22)]
    resumed = [numbers(batch) for batch in make_loader().batches(first_step, first_step + 2)]
    assert resumed == through[first_step - 1 : first_step + 2]


def test_any_order_of_steps() -> None:
    loader = make_loader()
    for step in (9, 1, 30, 2, 9):
        assert numbers(loader.batch(step)) == numbers(make_loader().batch(step))


def test_reads_one_batch_ahead_and_no_further() -> None:
    loader = make_loader()
    batches = loader.batches(1, 5)
    for step in range(1, 5):
        next(batches)
        wait_until(lambda step=step: loader.sequences.reads == step + 1)  # type: ignore[misc]
        time.sleep(0.02)
        assert loader.sequences.reads == step + 1  # type: ignore[attr-defined]
    assert len(list(batches)) == 1 and loader.sequences.reads == 5  # type: ignore[attr-defined]


def test_thread_ends_with_the_generator() -> None:
    batches = make_loader().batches(1, 9)
    next(batches)
    assert loader_threads() == 1
    batches.close()
    assert loader_threads() == 0
    assert len(list(make_loader().batches(1, 2))) == 2
    wait_until(lambda: loader_threads() == 0)


def test_error_in_the_thread_is_raised_in_the_loop() -> None:
    order = published_order(26, seed=3)
    sequences = Numbers(26, broken=order[9])  # in the third batch
    batches = Loader(sequences, global_batch_sequences=4, seed=3).batches(1, 9)
    assert numbers(next(batches)) == order[:4]
    assert numbers(next(batches)) == order[4:8]
    with pytest.raises(UsageError, match=f"sequence {order[9]} is broken"):
        next(batches)
    assert loader_threads() == 0


def test_nothing_is_read_or_shuffled_before_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olmo2.data.global_order.global_order", None)
    loader = make_loader()
    loader.batches(1, 9)
    assert loader.sequences.reads == 0  # type: ignore[attr-defined]


def test_saved_order_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "order"
    expected = [numbers(make_loader().batch(step)) for step in range(1, 13)]
    assert [numbers(make_loader(order=folder).batch(step)) for step in range(1, 13)] == expected
    assert {path.name for path in folder.iterdir()} == {f"order-seed3-epoch{epoch}-of26.npy" for epoch in (0, 1)}
    assert np.fromfile(folder / "order-seed3-epoch1-of26.npy", "<u4").tolist() == published_order(26, seed=4)

    monkeypatch.setattr("olmo2.data.global_order.global_order", None)  # no shuffling from here on
    assert [numbers(make_loader(order=folder).batch(step)) for step in range(1, 13)] == expected
    assert numbers(make_loader(order=folder, rank=1, world_size=2).batch(1)) == expected[0][1::2]


def test_only_rank_0_saves_the_order(tmp_path: Path) -> None:
    loader = make_loader(order=tmp_path / "order", rank=1, world_size=2)
    assert numbers(loader.batch(1)) == published_order(26, seed=3)[1:4:2]
    assert not (tmp_path / "order").exists()


def test_one_rank_saves_what_the_others_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 6 to 13 touch epochs 0, 1 and 2; after they are saved nobody shuffles."""
    make_loader(order=tmp_path).save_orders(6, 13)
    assert {path.name for path in tmp_path.iterdir()} == {f"order-seed3-epoch{epoch}-of26.npy" for epoch in range(3)}
    make_loader().save_orders(6, 13)  # with no folder there is nothing to save
    monkeypatch.setattr("olmo2.data.global_order.global_order", None)
    make_loader(order=tmp_path).save_orders(6, 13)
    for rank in (0, 1):
        assert (
            numbers(make_loader(order=tmp_path, rank=rank, world_size=2).batch(13))
            == (published_order(26, seed=5)[rank:4:2])
        )


def test_other_seed_or_data_do_not_use_a_saved_order(tmp_path: Path) -> None:
    make_loader(order=tmp_path).batch(1)
    assert numbers(make_loader(order=tmp_path, seed=5).batch(1)) == published_order(26, seed=5)[:4]
    assert numbers(make_loader(27, order=tmp_path).batch(1)) == published_order(27, seed=3)[:4]


def test_a_schedule_changes_batch_and_length(tmp_path: Path) -> None:
    """The batch doubles after 32 tokens; from 64 tokens on, pieces of 2 become whole sequences of 4."""
    np.arange(40 * 4, dtype="<u2").tofile(tmp_path / "a.npy")
    windows = Windows(open_tokens([str(tmp_path / "a.npy")], "uint16"), seq_len=4, vocab_size=1000)
    phases = [Phase(0, 4, 2), Phase(32, 8, 2), Phase(64, 8, 4)]
    order = published_order(40, seed=3)
    for world_size in (1, 2):
        loaders = [Loader(windows, phases=phases, seed=3, rank=r, world_size=world_size) for r in range(world_size)]
        first = 0
        for step, (batch, seq_len) in enumerate([(4, 2), (4, 2), (8, 2), (8, 4), (8, 4), (8, 4)], start=1):
            for rank, loader in enumerate(loaders):
                chosen = order[first : first + batch][rank::world_size]
                expected = [list(range(4 * number, 4 * number + 4)) for number in chosen]
                found = loader.batch(step)
                assert found.input_ids.shape == (batch * 4 // seq_len // world_size, seq_len)
                assert found.input_ids.flatten().tolist() == [token for tokens in expected for token in tokens]
            first += batch


def test_ranks_share_every_batch_of_a_schedule_evenly() -> None:
    with pytest.raises(UsageError, match=r"6 sequences is not a multiple of the 4 ranks"):
        Loader(Numbers(40), phases=[Phase(0, 8, 1), Phase(80, 6, 1)], seed=0, world_size=4)


def test_torn_order(tmp_path: Path) -> None:
    make_loader(order=tmp_path).batch(1)
    with open(tmp_path / "order-seed3-epoch0-of26.npy", "r+b") as file:
        file.truncate(50)
    with pytest.raises(UsageError, match=r"order-seed3-epoch0-of26\.npy.*delete it"):
        make_loader(order=tmp_path).batch(1)


def test_ranks_must_share_the_batch_evenly() -> None:
    with pytest.raises(UsageError, match=r"4 sequences is not a multiple of the 3 ranks.*run\.global_batch_tokens"):
        make_loader(world_size=3)


def test_data_must_fill_a_batch() -> None:
    with pytest.raises(UsageError, match=r"hold 3 sequences of 1 tokens.*batch of 4; lower run\.global_batch_tokens"):
        make_loader(3)
    assert make_loader(4).steps_per_epoch == 1


def loader_threads() -> int:
    return sum(thread.name.startswith("loader") for thread in threading.enumerate())


def wait_until(condition: object, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_pairs_and_epochs_from_one(tmp_path: Path) -> None:
    """What OLMo-core reads: seed + 1 shuffles the pairs of the first epoch, and the tail of a file is cut at a pair."""
    for name, start, tokens in (("a", 0, 4 * 7 + 3), ("b", 100, 4 * 4), ("c", 200, 4 * 1)):  # 7, 4 and 1 windows
        np.arange(start, start + tokens, dtype="<u2").tofile(tmp_path / f"{name}.npy")
    files = open_tokens([str(tmp_path / "*.npy")], "uint16")
    windows = Windows(files, seq_len=4, vocab_size=1000, shuffle_together=2)
    firsts = [*range(0, 24, 4), *range(100, 116, 4)]  # first tokens of the windows that remain, c gives no pair
    assert windows.batch(np.arange(len(windows))).input_ids[:, 0].tolist() == firsts
    read: list[int] = []
    for epoch in (1, 2):
        pairs = np.arange(5, dtype=np.uint32)
        np.random.Generator(np.random.PCG64(7 + epoch)).shuffle(pairs)
        read += [firsts[2 * pair + place] for pair in pairs.tolist() for place in (0, 1)][:8]  # two batches of four
    for world_size in (1, 2):
        loaders = [
            Loader(windows, global_batch_sequences=4, seed=7, first_epoch=1, rank=rank, world_size=world_size, order=at)
            for rank in range(world_size)
            for at in (tmp_path / "order",)
        ]
        batches = [[numbers(loader.batch(step)) for loader in loaders] for step in (1, 2, 3, 4)]
        assert [number for batch in batches for row in zip(*batch, strict=True) for number in row] == read
    names = {path.name for path in (tmp_path / "order").iterdir()}
    assert names == {f"order-seed7-epoch{epoch}-of10-together2.npy" for epoch in (1, 2)}
