"""What chats.json says is compared with how the rows beside it are to be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.data.chat_rows import ChatRows, described_rows

DESCRIPTION: dict[str, Any] = {
    "seq_len": 8,
    "dtype": "uint32",
    "vocab_size": 100_278,
    "tokenizer": "abc",
    "layout": "template",
    "num_rows": 1,
    "num_tokens": 6,
    "num_targets": 2,
    "num_truncated": 0,
    "num_dropped": 0,
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "chats.json").write_text(json.dumps(DESCRIPTION))
    return tmp_path / "input_ids.npy"


def test_rows_are_described_by_the_file_beside_them(rows: Path) -> None:
    assert described_rows(str(rows)) == ChatRows(**DESCRIPTION)
    assert described_rows(str(rows.with_name("others.npy"))) is None
    assert described_rows(str(rows.parent / "elsewhere" / "input_ids.npy")) is None


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ({"seq_len": 4}, "holds rows of 8 tokens, but data.seq_len .* is 4; set it to 8"),
        ({"dtype": "uint16"}, "holds uint32 ids, but data.dtype .* is uint16; set it to uint32"),
        ({"fingerprint": "xyz"}, "was made with another tokenizer than the model's"),
        ({"has_masks": False}, r"name their targets with --data.label_mask_paths=\[.*label_mask.npy\]"),
    ],
)
def test_other_uses_are_refused(rows: Path, use: dict[str, Any], message: str) -> None:
    described = described_rows(str(rows))
    assert described is not None
    right: dict[str, Any] = {"seq_len": 8, "dtype": None, "fingerprint": "abc", "has_masks": True}
    described.require_use(str(rows), **right)
    described.require_use(str(rows), **right | {"dtype": "uint32"})
    with pytest.raises(UsageError, match=message):
        described.require_use(str(rows), **right | use)


def test_the_folder_itself_is_no_token_file(rows: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder of conversations: write --data.paths=\[.*input_ids.npy\]"):
        described_rows(str(rows.parent))


def test_a_damaged_description(rows: Path) -> None:
    (rows.parent / "chats.json").write_text(json.dumps(DESCRIPTION | {"dtype": "int7"}))
    with pytest.raises(UsageError, match=r"chats.json is damaged .*dtype"):
        described_rows(str(rows))
