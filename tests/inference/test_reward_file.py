"""Files of conversations: which rows they may hold, and what pairs of rewards come to."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.inference.reward_file import pair_scores, read_conversation_file
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

USER, GOOD, BAD = [{"role": role, "content": text} for role, text in
                   (("user", "2 + 2?"), ("assistant", "4"), ("assistant", "5"))]  # fmt: skip
CHAT, WRONG = [USER, GOOD], [USER, BAD]


def write(path: Path, *rows: Any) -> str:
    """Write JSON lines and return their file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_conversations(tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl", {"messages": CHAT, "id": "x"}, {"messages": [USER]}, {"messages": WRONG, "id": 7}
    )
    read = read_conversation_file(file, tokenizer)
    assert [list(ids) for ids in read.conversations] == [encode_chat(tokenizer, c)[0] for c in (CHAT, [USER], WRONG)]
    assert not read.is_pairs
    assert read.rows([0.5, None, -1.0]) == [
        {"id": "x", "reward": 0.5},
        {"id": 2, "reward": None},
        {"id": 7, "reward": -1.0},
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": CHAT, "rejected": WRONG, "messages": CHAT, "prompt": "2 + 2?"},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
    ],
)
def test_pairs(tokenizer: Tokenizer, tmp_path: Path, row: dict[str, Any]) -> None:
    read = read_conversation_file(write(tmp_path / "a.jsonl", row, row), tokenizer)
    expected = [encode_chat(tokenizer, messages)[0] for messages in (CHAT, WRONG)]
    assert read.is_pairs and [list(ids) for ids in read.conversations] == 2 * expected
    assert read.rows([1.0, 2.0, 3.0, None])[1] == {"id": 2, "chosen_reward": 3.0, "rejected_reward": None}


def test_parquet(tokenizer: Tokenizer, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"id": "p", "chosen": CHAT, "rejected": WRONG, "score": 1.0}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    read = read_conversation_file(str(tmp_path / "pairs.parquet"), tokenizer)
    assert read.is_pairs and read.ids == ["p"]
    assert list(read.conversations[1]) == encode_chat(tokenizer, WRONG)[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"messages": CHAT}, {"messages": [{"role": "judge", "content": ""}]}],
            r":2: messages\[0\]: the role must be",
        ),
        ([{"messages": CHAT}, {"text": "a"}], ':2: the row must be an object with "messages", or with "chosen"'),
        ([{"messages": CHAT}, [1]], ":2: the row must be an object"),
        ([{"chosen": CHAT, "rejected": None}], ":1: the row must be an object with"),
        ([{"messages": CHAT}, {"chosen": CHAT, "rejected": WRONG}], ":2: rows before this one hold single conversa"),
        ([{"chosen": CHAT, "rejected": WRONG}, {"messages": CHAT}], ":2: rows before this one hold pairs"),
        ([{"chosen": CHAT, "rejected": []}], ":1: rejected: messages is empty"),
        ([{"chosen": CHAT, "rejected": "5"}], ':1: the row must have a list of messages under "rejected"'),
        ([{"messages": []}], ":1: messages is empty"),
        ([{"messages": "hello"}], ":1: messages must be a list of messages, not 'hello'"),
        ([], "a.jsonl is empty"),
    ],
)
def test_bad_rows_are_named(tokenizer: Tokenizer, tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        read_conversation_file(write(tmp_path / "a.jsonl", *rows), tokenizer)
    assert str(error.value).startswith(str(tmp_path / "a.jsonl"))


def test_a_file_that_is_not_there(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"file: there is no file or folder .*b\.jsonl"):
        read_conversation_file(str(tmp_path / "b.jsonl"), tokenizer)


def test_pairs_are_compared_as_numpy_would() -> None:
    generator = np.random.default_rng(0)
    chosen, rejected = generator.normal(0.5, 1, 50), generator.normal(0, 1, 50)
    rejected[3] = chosen[3]
    rewards = [float(value) for pair in zip(chosen, rejected, strict=True) for value in pair]
    found = pair_scores([*rewards, 1.0, None])
    assert found is not None
    margins = chosen - rejected
    assert (found.num_pairs, found.num_ties) == (50, 1)
    assert found.accuracy == pytest.approx((margins > 0).mean())
    assert found.accuracy_error == pytest.approx((margins > 0).std(ddof=1) / math.sqrt(50))
    assert found.margin == pytest.approx(margins.mean())
    assert found.margin_error == pytest.approx(margins.std(ddof=1) / math.sqrt(50))
    assert "1 of them a tie, which counts as wrong" in str(found)


def test_one_pair_has_no_standard_error_and_none_has_no_score() -> None:
    found = pair_scores([1.0, 0.5])
    assert found is not None and (found.accuracy_error, found.margin_error) == (None, None)
    assert str(found) == "chosen above rejected in 100.00% of 1 pairs; mean margin 0.5000"
    assert pair_scores([None, 1.0]) is None
