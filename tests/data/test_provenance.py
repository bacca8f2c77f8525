"""Documents are found by position, with the index and without, and every gzip reader reads the rows."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmo2.base.errors import RunError
from olmo2.data.provenance import DocumentSpan, ProvenanceWriter, documents_in, has_index, has_provenance


def write(tokens: Path, lengths: list[int]) -> list[DocumentSpan]:
    """Write documents of these lengths and return them."""
    ends = np.cumsum(lengths).tolist()
    spans = [
        DocumentSpan(end - length, end, f"id,{number}", 'a "source"\n', f"file:{number}")
        for number, (end, length) in enumerate(zip(ends, lengths, strict=True))
    ]
    writer = ProvenanceWriter(tokens)
    for span in spans:
        writer.add(span)
    writer.close()
    writer.close()
    return spans


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=150), st.integers(1, 64), st.data())
def test_documents_of_windows(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], size: int, data: st.DataObject
) -> None:
    tokens = tmp_path_factory.mktemp("documents") / "part-00000.npy"
    spans = write(tokens, lengths)
    starts = data.draw(st.lists(st.integers(0, max(sum(lengths) // size - 1, 0)), max_size=6))
    windows = [(start * size, min(start * size + size, sum(lengths))) for start in starts]
    expected = [[span for span in spans if span.start < end and span.end > start] for start, end in windows]
    assert has_index(tokens)
    assert documents_in(tokens, windows) == expected
    tokens.with_suffix(".index").unlink()
    assert not has_index(tokens) and has_provenance(tokens)
    assert documents_in(tokens, windows) == expected


def test_rows_are_one_csv_for_every_gzip_reader(tmp_path: Path) -> None:
    spans = write(tmp_path / "part-00000.npy", [3] * 100)
    with gzip.open(tmp_path / "part-00000.csv.gz", "rt", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [[str(span.start), str(span.end), span.id, span.source, span.location] for span in spans]
    index = np.fromfile(tmp_path / "part-00000.index", "<u8").reshape(-1, 2)
    data = (tmp_path / "part-00000.csv.gz").read_bytes()
    assert len(index) == 4
    for token, byte in index.tolist():
        assert gzip.decompress(data[byte:]).startswith(f"{token},".encode())


def test_no_provenance(tmp_path: Path) -> None:
    assert not has_provenance(tmp_path / "part-00000.npy")
    assert documents_in(tmp_path / "part-00000.npy", [(0, 8)]) is None


@pytest.mark.parametrize("suffix", [".csv.gz", ".index"])
@pytest.mark.parametrize("content", [b"", b"rubbish of some length"])
def test_damaged_files(tmp_path: Path, suffix: str, content: bytes) -> None:
    tokens = tmp_path / "part-00000.npy"
    write(tokens, [3] * 100)
    tokens.with_suffix(suffix).write_bytes(content)
    with pytest.raises(RunError, match=r"part-00000\.csv\.gz or the \.index beside it is damaged .*restore both"):
        documents_in(tokens, [(4, 8)])


def test_rows_without_columns(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write("0\n")
    with pytest.raises(RunError, match=r"a\.csv\.gz or"):
        documents_in(tmp_path / "a.npy", [(0, 8)])


@pytest.mark.parametrize("name", ["a\rb", "a\r\nb", "\r", "x" * 200_000])
def test_ids_that_csv_stumbles_over(tmp_path: Path, name: str) -> None:
    tokens = tmp_path / "part-00000.npy"
    spans = [DocumentSpan(0, 3, name, "source", name), DocumentSpan(3, 5, "next", "source", "place")]
    writer = ProvenanceWriter(tokens)
    for span in spans:
        writer.add(span)
    writer.close()
    assert documents_in(tokens, [(0, 5)]) == [spans]
    tokens.with_suffix(".index").unlink()
    assert documents_in(tokens, [(0, 5)]) == [spans]
