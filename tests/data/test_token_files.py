"""Token folders and raw token files: what is written reads back, and whatever is wrong is named."""

import csv
import gzip
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from olmo2.base.errors import RunError, UsageError
from olmo2.data.token_files import (
    TokenFolderWriter,
    map_tokens,
    open_label_masks,
    open_tokens,
    read_token_folder,
)

EOS = 9
DOCUMENTS = [[1, 2, 3], [4], [], [5, 6], [7, 8, 1, 2]]


def write_folder(folder: Path, documents: list[list[int]] = DOCUMENTS, part: int = 100, vocab_size: int = 10) -> None:
    with TokenFolderWriter(
        folder, vocab_size=vocab_size, eos_id=EOS, tokenizer_fingerprint="f" * 64, tokens_per_part=part
    ) as writer:
        for number, ids in enumerate(documents):
            writer.add(np.array(ids, dtype=np.uint32), 10 + number, f"id{number}", "books", f"file.jsonl:{number + 1}")


def write_raw(path: Path, ids: list[int], dtype: str = "<u2") -> str:
    np.array(ids, dtype=dtype).tofile(path)
    return str(path)


def test_folder_holds_what_its_format_says(tmp_path: Path) -> None:
    write_folder(tmp_path / "tokens")
    assert sorted(path.name for path in (tmp_path / "tokens").iterdir()) == [
        "part-00000.csv.gz",
        "part-00000.index",
        "part-00000.npy",
        "tokens.json",
    ]
    assert json.loads((tmp_path / "tokens/tokens.json").read_text()) == {
        "dtype": "uint16",
        "vocab_size": 10,
        "eos_id": 9,
        "tokenizer": "f" * 64,
        "num_tokens": 15,
        "num_documents": 5,
        "num_bytes": 60,
        "parts": [{"file": "part-00000.npy", "num_tokens": 15, "num_documents": 5, "num_bytes": 60}],
    }
    ids = np.fromfile(tmp_path / "tokens/part-00000.npy", "<u2").tolist()
    assert ids == [1, 2, 3, EOS, 4, EOS, EOS, 5, 6, EOS, 7, 8, 1, 2, EOS]
    with gzip.open(tmp_path / "tokens/part-00000.csv.gz", "rt", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["0", "4", "id0", "books", "file.jsonl:1"]
    spans = [ids[int(start) : int(end)] for start, end, *_ in rows]
    assert spans == [[*document, EOS] for document in DOCUMENTS]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(10, "<u2"), (65_536, "<u2"), (65_537, "<u4"), (100_278, "<u4")])
def test_type_follows_the_vocabulary(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    write_folder(tmp_path / "tokens", [[1, vocab_size - 1]], vocab_size=vocab_size)
    (file,) = open_tokens([str(tmp_path / "tokens")], None)
    assert file.dtype == dtype
    assert map_tokens(file).tolist() == [1, vocab_size - 1, EOS]


@pytest.mark.parametrize(
    ("part", "lengths"),
    [(100, [15]), (15, [15]), (14, [10, 5]), (6, [6, 4, 5]), (5, [4, 3, 3, 5]), (1, [4, 2, 1, 3, 5])],
)
def test_documents_never_span_parts(tmp_path: Path, part: int, lengths: list[int]) -> None:
    write_folder(tmp_path / "tokens", part=part)
    files = open_tokens([str(tmp_path / "tokens")], None)
    assert [file.num_tokens for file in files] == lengths
    whole = np.concatenate([map_tokens(file) for file in files]).tolist()
    assert whole == [token for document in DOCUMENTS for token in [*document, EOS]]
    description = read_token_folder(tmp_path / "tokens")
    assert sum(part.num_documents for part in description.parts) == 5
    for file in files:
        with gzip.open(file.path.with_suffix(".csv.gz"), "rt", newline="") as boundaries:
            ends = [int(row[1]) for row in csv.reader(boundaries)]
        assert ends[-1] == file.num_tokens
        assert all(map_tokens(file)[end - 1] == EOS for end in ends)


def test_equal_documents_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / name, part=6)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_odd_names_survive(tmp_path: Path) -> None:
    odd = 'a,"b"\nc\u00e9'
    with TokenFolderWriter(tmp_path / "t", vocab_size=10, eos_id=EOS, tokenizer_fingerprint="") as writer:
        writer.add(np.array([1]), 1, odd, odd, odd)
        writer.add(np.array([2]), 1, "half \ud800", "", "")
    with gzip.open(tmp_path / "t/part-00000.csv.gz", "rt", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["0", "2", odd, odd, odd], ["2", "4", "half \\ud800", "", ""]]


def test_error_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop_midway() -> None:
        with TokenFolderWriter(tmp_path / "t", vocab_size=10, eos_id=EOS, tokenizer_fingerprint="") as writer:
            writer.add(np.array([1]), 1, "", "", "")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_midway()
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a file that may not grow stands for a full disk
    try:
        with pytest.raises(RunError, match=r"cannot write .*tokens.*free some space"):
            write_folder(tmp_path / "tokens", [[1] * 1000] * 100, part=10**6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    write_folder(tmp_path / "tokens")
    before = (tmp_path / "tokens/part-00000.npy").read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        write_folder(tmp_path / "tokens", [[1]])
    assert (tmp_path / "tokens/part-00000.npy").read_bytes() == before


def test_no_document(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no document to write to .*tokens"):
        write_folder(tmp_path / "tokens", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [-1, 10, 70_000])
def test_written_id_outside_the_vocabulary(tmp_path: Path, wrong: int) -> None:
    with (
        pytest.raises(UsageError, match=f"document d of f:7: token id {wrong} is outside"),
        TokenFolderWriter(tmp_path / "t", vocab_size=10, eos_id=EOS, tokenizer_fingerprint="") as writer,
    ):
        writer.add(np.array([1, wrong, 2]), 1, "d", "s", "f:7")


def test_paths_of_every_kind_in_the_order_given(tmp_path: Path) -> None:
    write_folder(tmp_path / "tokens", part=6)
    for number in (2, 0, 1):
        write_raw(tmp_path / f"raw{number}.npy", [number] * (number + 1))
    np.save(tmp_path / "saved.npy", np.array([1, 2, 3], dtype=np.int64))
    files = open_tokens(
        [str(tmp_path / "raw*.npy"), str(tmp_path / "saved.npy"), str(tmp_path / "tokens"), str(tmp_path / "raw0.npy")],
        "uint16",
    )
    assert [file.path.name for file in files] == [
        "raw0.npy", "raw1.npy", "raw2.npy", "saved.npy", "part-00000.npy", "part-00001.npy", "part-00002.npy",
        "raw0.npy",
    ]  # fmt: skip
    assert [map_tokens(file).tolist() for file in files[:4]] == [[0], [1, 1], [2, 2, 2], [1, 2, 3]]


def test_brackets_in_a_name_are_not_a_glob(tmp_path: Path) -> None:
    (file,) = open_tokens([write_raw(tmp_path / "x[1].npy", [3])], "uint16")
    assert map_tokens(file).tolist() == [3]


def test_glob_of_folders(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_folder(tmp_path / name)
    assert [file.path.parent.name for file in open_tokens([str(tmp_path / "*")], None)] == ["a", "b"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int32", "int64"])
def test_numpy_header_says_the_type(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.array([1, 2, 100], dtype=np.dtype(dtype).newbyteorder(">")))
    (file,) = open_tokens([str(tmp_path / "a.npy")], None)
    assert map_tokens(file).tolist() == [1, 2, 100]


def test_opening_reads_no_data(tmp_path: Path) -> None:
    path = tmp_path / "sparse.npy"
    path.touch()
    with open(path, "r+b") as file:
        file.truncate(2**40)
    (opened,) = open_tokens([str(path)], "uint16")
    assert opened.num_tokens == 2**39


@pytest.mark.parametrize("size", [None, 0, 4])
def test_file_that_changes_after_opening(tmp_path: Path, size: int | None) -> None:
    path = tmp_path / "a.npy"
    (file,) = open_tokens([write_raw(path, [1, 2, 3])], "uint16")
    path.unlink() if size is None else os.truncate(path, size)
    with pytest.raises(RunError, match=r"a\.npy is no longer the file"):
        map_tokens(file)


def test_missing_paths(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.npy"):
        open_tokens([str(tmp_path / "none.npy")], "uint16")
    with pytest.raises(UsageError, match="no file matches"):
        open_tokens([str(tmp_path / "*.npy")], "uint16")
    with pytest.raises(UsageError, match="not a token folder"):
        open_tokens([str(tmp_path)], None)


def test_raw_file_without_a_type(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a.npy has no header.*data\.dtype"):
        open_tokens([write_raw(tmp_path / "a.npy", [1])], None)


def test_unknown_type(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.dtype: 'float32'.*uint16"):
        open_tokens([write_raw(tmp_path / "a.npy", [1])], "float32")


def test_size_that_is_no_whole_number_of_tokens(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\1" * 7)
    with pytest.raises(UsageError, match=r"a\.npy has 7 bytes"):
        open_tokens([str(tmp_path / "a.npy")], "uint32")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.npy").touch()
    with pytest.raises(UsageError, match=r"a\.npy is empty"):
        open_tokens([str(tmp_path / "a.npy")], "uint32")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a.txt", "a.parquet"])
def test_text_is_not_tokens(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"{}{}")
    with pytest.raises(UsageError, match=f"{name} is not a file of token ids.*tokenize"):
        open_tokens([str(tmp_path / name)], "uint16")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2), np.uint16), "shape"),
        (np.zeros(3, np.float32), "float32"),
        (np.zeros(0, np.uint16), "a.npy"),
        (np.array(3), "shape"),
    ],
)
def test_numpy_file_that_holds_something_else(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UsageError, match=message):
        open_tokens([str(tmp_path / "a.npy")], None)


@pytest.mark.parametrize("change", ["header", "data", "longer"])
def test_damaged_numpy_file(tmp_path: Path, change: str) -> None:
    np.save(tmp_path / "a.npy", np.arange(100, dtype=np.uint16))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes({"header": whole[:20], "data": whole[:-2], "longer": whole + b"\0\0"}[change])
    with pytest.raises(UsageError, match=r"a\.npy"):
        open_tokens([str(tmp_path / "a.npy")], None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"dtype": "uint16"', '"dtype": "float16"'),
        ('"eos_id": 9,', ""),
        ('"num_tokens": 15', '"num_tokens": 16'),
        ('"num_tokens": 15', '"num_tokens": null'),
        ("{", ""),
        ("}", ""),
    ],
)
def test_damaged_description(tmp_path: Path, old: str, new: str) -> None:
    write_folder(tmp_path / "tokens")
    path = tmp_path / "tokens/tokens.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UsageError, match=r"tokens\.json"):
        open_tokens([str(tmp_path / "tokens")], None)


@pytest.mark.parametrize("size", [0, 3, 28, 32])
def test_part_of_another_size(tmp_path: Path, size: int) -> None:
    write_folder(tmp_path / "tokens")
    with open(tmp_path / "tokens/part-00000.npy", "r+b") as file:
        file.truncate(size)
    with pytest.raises(UsageError, match=r"part-00000\.npy"):
        open_tokens([str(tmp_path / "tokens")], None)


def test_missing_part(tmp_path: Path) -> None:
    write_folder(tmp_path / "tokens", part=6)
    (tmp_path / "tokens/part-00001.npy").unlink()
    with pytest.raises(UsageError, match=r"part-00001\.npy"):
        open_tokens([str(tmp_path / "tokens")], None)


def test_label_masks(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.npy", [1, 2, 3])
    write_raw(tmp_path / "b.npy", [4, 5])
    files = open_tokens([str(tmp_path / "[ab].npy")], "uint16")
    np.array([True, False, True]).tofile(tmp_path / "mask-a.npy")
    np.save(tmp_path / "mask-b.npy", np.array([False, True]))
    masks = open_label_masks([str(tmp_path / "mask-*.npy")], files)
    assert [map_tokens(mask).tolist() for mask in masks] == [[1, 0, 1], [0, 1]]

    with pytest.raises(UsageError, match=r"2 token files and 1 label masks.*b\.npy"):
        open_label_masks([str(tmp_path / "mask-a.npy")], files)
    with pytest.raises(UsageError, match=r"1 token files and 2 label masks.*mask-b\.npy"):
        open_label_masks([str(tmp_path / "mask-*.npy")], files[:1])
    with pytest.raises(UsageError, match=r"mask-b\.npy is for 2 tokens, but .*a\.npy holds 3"):
        open_label_masks([str(tmp_path / "mask-b.npy"), str(tmp_path / "mask-a.npy")], files)
    np.save(tmp_path / "wide.npy", np.array([1, 0, 1]))
    with pytest.raises(UsageError, match=r"wide\.npy.*one byte"):
        open_label_masks([str(tmp_path / "wide.npy")], files[:1])
    np.zeros(3, dtype=bool).tofile(tmp_path / "none.npy")
    with pytest.raises(UsageError, match=r"no label mask marks a target \(.*none\.npy is all 0\)"):
        open_label_masks([str(tmp_path / "none.npy")], files[:1])
    assert len(open_label_masks([str(tmp_path / "none.npy"), str(tmp_path / "mask-b.npy")], files)) == 2
