"""Windows against hand-made ones: which tokens, which labels, and what a batch refuses."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.data.token_files import open_label_masks, open_tokens
from olmo2.data.windows import Windows

NONE = -100


def write(path: Path, ids: list[int], dtype: str = "<u2") -> str:
    np.array(ids, dtype=dtype).tofile(path)
    return str(path)


def make_windows(
    folder: Path, files: list[list[int]], masks: list[list[bool]] | None = None, **settings: object
) -> Windows:
    paths = [write(folder / f"{number}.npy", ids) for number, ids in enumerate(files)]
    opened = open_tokens(paths, "uint16")
    mask_paths = [write(folder / f"{number}.mask", mask, "?") for number, mask in enumerate(masks or [])]
    return Windows(
        opened,
        label_masks=open_label_masks(mask_paths, opened) if masks else (),
        **{"seq_len": 4, "vocab_size": 100, **settings},  # type: ignore[arg-type]
    )


def rows(tensor: torch.Tensor | None) -> list[list[int]]:
    assert tensor is not None
    result: list[list[int]] = tensor.tolist()
    return result


def test_windows_are_cut_file_by_file_and_tails_dropped(tmp_path: Path) -> None:
    windows = make_windows(tmp_path, [list(range(10, 19)), [1, 2, 3], list(range(20, 24)), list(range(30, 42))])
    assert len(windows) == 2 + 0 + 1 + 3
    batch = windows.batch(np.arange(6))
    assert rows(batch.input_ids) == [
        [10, 11, 12, 13], [14, 15, 16, 17], [20, 21, 22, 23], [30, 31, 32, 33], [34, 35, 36, 37], [38, 39, 40, 41],
    ]  # fmt: skip
    assert rows(batch.labels)[:2] == [[11, 12, 13, NONE], [15, 16, 17, NONE]]
    assert batch.input_ids.dtype == batch.labels.dtype == torch.int64
    assert batch.document_ids is None


def test_rows_come_in_the_order_of_the_indices(tmp_path: Path) -> None:
    windows = make_windows(tmp_path, [list(range(16)), list(range(16, 24))])
    batch = windows.batch(np.array([5, 0, 3, 3], dtype=np.uint32))
    assert batch.input_ids[:, 0].tolist() == [20, 0, 12, 12]


def test_types_of_token_files_may_differ(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4, dtype=np.int64))
    windows = Windows(
        open_tokens([str(tmp_path / "a.npy"), write(tmp_path / "b.npy", [70_000] * 4, "<u4")], "uint32"),
        seq_len=4,
        vocab_size=70_001,
    )
    assert rows(windows.batch(np.array([0, 1])).input_ids) == [[0, 1, 2, 3], [70_000] * 4]


def test_label_mask_says_which_tokens_are_targets(tmp_path: Path) -> None:
    windows = make_windows(
        tmp_path,
        [[1, 2, 3, 4, 5, 6, 7, 8, 9], [11, 12, 13, 14]],
        [[True, False, True, True, True, False, False, True, False], [False] * 4],
    )
    assert rows(windows.batch(np.arange(3)).labels) == [[NONE, 3, 4, NONE], [NONE, NONE, 8, NONE], [NONE] * 4]


def test_a_file_that_is_no_label_mask(tmp_path: Path) -> None:
    windows = make_windows(tmp_path, [[1] * 8, [2] * 8], [[True] * 8, [True] * 8])
    path = Path(windows.label_masks[1].path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    windows.batch(np.array([0, 2]))
    with pytest.raises(UsageError, match=f"{path.name} holds the byte 7, but a label mask is 1 where"):
        windows.batch(np.array([0, 3]))


@pytest.mark.parametrize("is_on", [True, False])
def test_repetitive_windows_stay_without_labels(tmp_path: Path, is_on: bool) -> None:
    windows = make_windows(tmp_path, [[7] * 40 + list(range(40))], seq_len=40, repetition_filter=is_on)
    batch = windows.batch(np.array([0, 1]))
    assert rows(batch.input_ids) == [[7] * 40, list(range(40))]
    assert rows(batch.labels) == [[NONE] * 40 if is_on else [7] * 39 + [NONE], [*range(1, 40), NONE]]


def test_document_mask_counts_the_ends_of_text(tmp_path: Path) -> None:
    windows = make_windows(tmp_path, [[1, 9, 2, 3, 9, 9, 4, 5, 6, 7, 8, 9]], document_mask=True, eos_id=9)
    batch = windows.batch(np.arange(3))
    assert batch.document_ids is not None
    assert batch.document_ids.dtype == torch.int32
    assert rows(batch.document_ids) == [[0, 0, 1, 1], [0, 1, 2, 2], [0, 0, 0, 0]]
    assert rows(batch.labels)[0] == [9, 2, 3, NONE]


@pytest.mark.parametrize("wrong", [100, 65_535])
def test_id_outside_the_vocabulary(tmp_path: Path, wrong: int) -> None:
    windows = make_windows(tmp_path, [[1] * 8, [2, 2, 2, 2, 2, 2, wrong, 2]])
    windows.batch(np.array([0, 1, 2]))
    with pytest.raises(UsageError, match=rf"1\.npy: token 6 has the id {wrong}.*100 ids"):
        windows.batch(np.array([0, 3]))


def test_negative_id(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -5, 1, 1], dtype=np.int32))
    windows = Windows(open_tokens([str(tmp_path / "a.npy")], None), seq_len=4, vocab_size=100)
    with pytest.raises(UsageError, match="token 1 has the id -5"):
        windows.batch(np.array([0]))


def test_largest_id_is_inside(tmp_path: Path) -> None:
    assert rows(make_windows(tmp_path, [[99] * 4]).batch(np.array([0])).input_ids) == [[99] * 4]


def test_no_file_holds_a_window(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"window of 4 tokens .there are 2, the longest has 3 tokens"):
        make_windows(tmp_path, [[1, 2, 3], [1]])
    with pytest.raises(UsageError, match=r"lower data\.seq_len or add data"):
        Windows([], seq_len=4, vocab_size=100)
    with pytest.raises(UsageError, match=r"no token file holds 2 windows of 4 tokens"):
        make_windows(tmp_path, [[1] * 7, [2] * 4], shuffle_together=2)


def test_fingerprint_changes_with_what_is_trained_on(tmp_path: Path) -> None:
    def fingerprint(name: str, *files_and_masks: Any, **settings: object) -> str:
        (tmp_path / name).mkdir()
        return make_windows(tmp_path / name, *files_and_masks, **settings).fingerprint()

    ids = list(range(50)) * 200
    same = fingerprint("here", [ids, ids[:8]])
    assert fingerprint("moved", [ids, ids[:8]]) == same
    others = [
        fingerprint("order", [ids[:8], ids]),
        fingerprint("shorter", [ids[:-1], ids[:8]]),
        fingerprint("first", [[99, *ids[1:]], ids[:8]]),
        fingerprint("last", [[*ids[:-1], 99], ids[:8]]),
        fingerprint("middle", [ids[:3000] + [99] * 100 + ids[3100:], ids[:8]]),
        fingerprint("length", [ids, ids[:8]], seq_len=5),
        fingerprint("pairs", [ids, ids[:8]], shuffle_together=2),
        fingerprint("unfiltered", [ids, ids[:8]], repetition_filter=False),
        fingerprint("documents", [ids, ids[:8]], document_mask=True, eos_id=9),
        fingerprint("mask", [ids, ids[:8]], [[True] * len(ids), [True] * 8]),
        fingerprint("mask2", [ids, ids[:8]], [[True] * len(ids), [True] * 7 + [False]]),
    ]
    assert len({same, *others}) == len(others) + 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux lists them")
def test_more_files_than_a_process_may_open(tmp_path: Path) -> None:
    windows = make_windows(tmp_path, [[number % 100] * 4 for number in range(300)])
    before = len(os.listdir("/proc/self/fd"))
    batch = windows.batch(np.arange(300))
    assert batch.input_ids[:, 0].tolist() == [number % 100 for number in range(300)]
    assert len(os.listdir("/proc/self/fd")) - before <= 128


OPEN_FIFTY_MILLION = """
import sys
from pathlib import Path
from olmo2.data.loader import Loader
from olmo2.data.token_files import open_tokens
from olmo2.data.windows import Windows
windows = Windows(open_tokens([sys.argv[1]], "uint16"), seq_len=128, vocab_size=100)
loader = Loader(windows, global_batch_sequences=512, seed=6198)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(len(windows), loader.steps_per_epoch, int(peak.split()[1]) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory as Linux reports it")
def test_fifty_million_windows_open_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sparse.npy"
    path.touch()
    os.truncate(path, 50_000_000 * 128 * 2)
    command = [sys.executable, "-c", OPEN_FIFTY_MILLION, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    num_windows, steps, peak_bytes = map(int, output.split())
    assert num_windows == 50_000_000
    assert steps == 50_000_000 // 512
    assert peak_bytes < 500e6
