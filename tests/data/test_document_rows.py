"""Documents arranged in rows: nothing is lost, groups stay together, and nothing is predicted across a border."""

from dataclasses import replace

import numpy as np
import pytest

from olmo2.data.batch import IGNORED_LABEL
from olmo2.data.document_rows import DocumentRows, Documents

LENGTHS = [5, 3, 7, 2, 4, 6]


def documents() -> Documents:
    """Six documents of ids that tell document and place: 10 * number + place."""
    ids = [10 * number + place for number, length in enumerate(LENGTHS) for place in range(length)]
    is_target = [place >= 2 for length in LENGTHS for place in range(length)]
    return Documents(np.array(ids, np.int32), np.array(is_target), np.cumsum(LENGTHS))


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("group", [1, 2, 3])
def test_every_group_is_whole_in_one_row(pack: bool, group: int) -> None:
    rows = DocumentRows(documents(), seq_len=16, pad_id=99, pack=pack, group=group)
    held = [rows.documents_of(row) for row in range(len(rows))]
    assert sorted(document for row in held for document in row) == list(range(6))
    for row in held:
        for start in range(0, len(row), group):
            assert row[start : start + group] == list(range(row[start], row[start] + group)) and row[start] % group == 0
    assert pack or len(rows) == 6 // group
    assert rows.num_tokens == sum(LENGTHS) and rows.num_documents == 6
    assert rows.filled_ratio == pytest.approx(sum(LENGTHS) / (16 * len(rows)))


def test_rows_by_hand() -> None:
    rows = DocumentRows(documents(), seq_len=9, pad_id=99, pack=False, group=2)
    batch = rows.batch(np.array([1, 0]))
    none = IGNORED_LABEL
    assert batch.input_ids.tolist() == [
        [20, 21, 22, 23, 24, 25, 26, 30, 31],
        [0, 1, 2, 3, 4, 10, 11, 12, 99],
    ]
    assert batch.labels.tolist() == [
        [none, 22, 23, 24, 25, 26, none, none, none],
        [none, 2, 3, 4, none, none, 12, none, none],
    ]
    assert batch.document_ids is not None
    assert batch.document_ids.tolist() == [[0] * 7 + [1] * 2, [0] * 5 + [1] * 3 + [-1]]
    assert rows.num_targets == 3 + 1 + 5 + 0 + 2 + 4


def test_fingerprints() -> None:
    rows = DocumentRows(documents(), seq_len=16, pad_id=99, pack=True)
    same = DocumentRows(documents(), seq_len=16, pad_id=99, pack=True)
    assert rows.fingerprint() == same.fingerprint()
    assert rows.fingerprint() != DocumentRows(documents(), seq_len=16, pad_id=99, pack=False).fingerprint()
    first = documents()
    others = (
        replace(first, input_ids=first.input_ids + 1),
        replace(first, is_target=~first.is_target),
        replace(first, ends=np.concatenate((first.ends[1:], first.ends[-1:]))),
    )
    assert len({each.fingerprint for each in (first, *others)}) == 4


def test_labels_of_drawn_documents() -> None:
    """Each document by itself, however it is packed."""
    draw = np.random.default_rng(0)
    ends = np.cumsum(draw.integers(1, 9, 50))
    ids, is_target = draw.integers(0, 99, ends[-1]).astype(np.int32), draw.random(ends[-1]) < 0.6
    rows = DocumentRows(Documents(ids, is_target, ends), seq_len=8, pad_id=99, pack=True)
    batch = rows.batch(np.arange(len(rows)))
    assert batch.document_ids is not None
    num_labels = 0
    for row in range(len(rows)):
        for number, document in enumerate(rows.documents_of(row)):
            start, end = [0, *ends.tolist()][document : document + 2]
            expected = [int(ids[at + 1]) if is_target[at + 1] else IGNORED_LABEL for at in range(start, end - 1)]
            place = batch.document_ids[row] == number
            assert batch.labels[row][place].tolist() == [*expected, IGNORED_LABEL]
            num_labels += sum(label != IGNORED_LABEL for label in expected)
    assert rows.num_targets == num_labels
