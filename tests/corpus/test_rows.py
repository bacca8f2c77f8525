"""Rows of files and data sets: all of them or some, where they come from, and what is said of bad ones."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.corpus.rows import BadRows, open_source, read_rows

PAIRS = [{"chosen": [n], "rejected": [-n], "source": "s"} for n in range(6)]


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(folder: Path, kind: str) -> str:
    """Write the pairs as a file, a folder of two, or a data set with a cache of its own."""
    path = folder / f"pairs.{kind}"
    if kind == "jsonl":
        path.write_bytes(b"\xef\xbb\xbf\n" + lines(PAIRS[:3]) + b"\n  \n" + lines(PAIRS[3:]))
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(lines(PAIRS)))
    elif kind == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pytest.importorskip("pyarrow").Table.from_pylist(PAIRS), path)
    else:
        path.mkdir()
        (path / "a.jsonl").write_bytes(lines(PAIRS[:2]))
        (path / "b.jsonl").write_bytes(lines(PAIRS[2:]))
        if kind == "folder":
            (path / "README.md").write_text("what these are")
    return f"hf:{path}" if kind == "hub" else str(path)


KINDS = ["jsonl", "jsonl.gz", "parquet", "folder", "hub"]


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def taken(path: str, times: list[int] | None = None, fields: tuple[str, ...] = ("chosen", "rejected")) -> list[Any]:
    rows = read_rows(open_source(path), fields, BadRows(), None if times is None else np.array(times))
    return [row["chosen"][0] for _, row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_all_rows_and_some(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    assert open_source(path).count() == 6
    assert taken(path) == [0, 1, 2, 3, 4, 5]
    assert taken(path, [0, 2, 0, 1, 0, 1]) == [1, 1, 3, 5]
    first = next(iter(read_rows(open_source(path), ("chosen", "rejected"), BadRows())))[1]
    assert (first["chosen"], first["rejected"]) == ([0], [0])


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprints_follow_the_content(tmp_path: Path, kind: str) -> None:
    def fingerprint(folder: str) -> str:
        (tmp_path / folder).mkdir()
        return open_source(write(tmp_path / folder, kind)).fingerprint()

    before = fingerprint("a")
    assert fingerprint("elsewhere") == before
    PAIRS[5]["chosen"] = [9]
    try:
        assert fingerprint("b") != before
    finally:
        PAIRS[5]["chosen"] = [5]


def test_places(tmp_path: Path) -> None:
    def places(kind: str) -> list[str]:
        rows = read_rows(open_source(write(tmp_path, kind)), ("chosen",), BadRows(), np.array([1, 0, 0, 1, 0, 0]))
        return [place.removeprefix("hf:").removeprefix(str(tmp_path)) for place, _ in rows]

    assert places("jsonl") == ["/pairs.jsonl:2", "/pairs.jsonl:7"]
    assert places("parquet") == ["/pairs.parquet:1", "/pairs.parquet:4"]
    assert places("folder") == ["/pairs.folder/a.jsonl:1", "/pairs.folder/b.jsonl:2"]
    assert places("hub") == ["/pairs.hub:train:1", "/pairs.hub:train:4"]


BAD = [
    (b"{bad\n", "not JSON", "a.jsonl:2: the line is not a JSON object"),
    (b'{"chosen": ["\xff"]}\n', "not JSON", "a.jsonl:2: not valid UTF-8"),
    (b'"a"\n', 'without a list "chosen" and a list "rejected"', 'a.jsonl:2: the row must be an object with a list "ch'),
    (b'{"chosen": []}\n', 'without a list "chosen" and a list "rejected"', 'a list "rejected"'),
    (b'{"chosen": [], "rejected": "a"}\n', 'without a list "chosen" and a list "rejected"', 'a list "rejected"'),
]


@pytest.mark.parametrize(("line", "kind", "reason"), BAD)
def test_a_bad_row_stops_or_is_counted(tmp_path: Path, line: bytes, kind: str, reason: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(PAIRS[:1]) + line + lines(PAIRS[1:3]))
    source = open_source(str(tmp_path / "a.jsonl"))
    with pytest.raises(UsageError) as stopped:
        list(read_rows(source, ("chosen", "rejected"), BadRows("data.skip_bad_rows")))
    assert reason in str(stopped.value)
    assert str(stopped.value).endswith("; mend the row, or leave out all such rows with --data.skip_bad_rows=true")
    skipped = BadRows(skip=True)
    rows = [row["chosen"] for _, row in read_rows(source, ("chosen", "rejected"), skipped)]
    assert rows == [[0], [1], [2]]
    assert skipped.counts == {kind: 1}
    assert f"1 bad row was left out: 1 {kind}\n" in skipped.summary() and reason in skipped.summary()
    assert taken(str(tmp_path / "a.jsonl"), [1, 0, 0, 1]) == [0, 2]  # a row that is not drawn stops nothing


def test_the_summary_of_bad_rows() -> None:
    rows = BadRows(skip=True)
    assert rows.summary() == ""
    for number in range(1200):
        rows.add("unknown role" if number % 3 else "not JSON", f"a.jsonl:{number}: wrong")
    assert rows.summary() == (
        "1,200 bad rows were left out: 800 unknown role, 400 not JSON\n"
        + "".join(f"  a.jsonl:{number}: wrong\n" for number in range(5))
        + "  ..."
    )
    again = BadRows.from_array(rows.to_array())
    assert (again.summary(), again.counts) == (rows.summary(), rows.counts)


def test_what_holds_no_rows(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UsageError, match=r"empty\.jsonl is empty"):
        taken(str(tmp_path / "empty.jsonl"))
    with pytest.raises(UsageError, match=r"conversations: there is no file or folder nowhere"):
        open_source("nowhere", "conversations")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").touch()
    with pytest.raises(UsageError, match="holds no JSON lines and no Parquet file"):
        open_source(str(tmp_path / "texts"))
    for kind in ("parquet", "hub"):
        with pytest.raises(UsageError, match=r"there is no field 'messages' \(the fields are: .*change data\.paths"):
            taken(write(tmp_path, kind), fields=("messages",))
    with pytest.raises(UsageError, match="names no data set"):
        open_source("hf:")
    with pytest.raises(UsageError, match=r"hf:.*:nosplit cannot be read"):
        open_source(f"hf:{tmp_path / 'pairs.hub'}:nosplit")
