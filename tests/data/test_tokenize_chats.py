"""Conversations as two raw files: ids, targets and padding by hand, by transformers, and by the old script."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.data.tokenize_chats import TokenizeChatsRecipe, tokenize_chats
from olmo2.tokenizer.tokenizer import Tokenizer, load_tokenizer

CHATS = [
    [{"role": "user", "content": "What is 12 + 30?"}, {"role": "assistant", "content": "The answer is 42."}],
    [
        {"role": "system", "content": "Be brief. "},
        {"role": "user", "content": " add?"},
        {"role": "assistant", "content": "left + right"},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": " No. "},
    ],
]


@pytest.fixture
def folder(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(tmp_path / "tokenizer")
    write_chats(tmp_path / "chats.jsonl", CHATS)
    return tmp_path


def write_chats(path: Path, chats: list[Any]) -> None:
    path.write_text("\n".join(json.dumps({"messages": chat}) for chat in chats))


def tokenized(folder: Path, dtype: str = "<u2", **settings: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Run the verb and read its files as plain bytes."""
    values = {"tokenizer": str(folder / "tokenizer"), "seq_len": 128} | settings
    tokenize_chats(
        TokenizeChatsRecipe(conversations=[str(folder / "chats.jsonl")], output=str(folder / "out"), **values)
    )
    ids = np.frombuffer((folder / "out" / "input_ids.npy").read_bytes(), dtype)
    mask = np.frombuffer((folder / "out" / "label_mask.npy").read_bytes(), np.uint8)
    described = json.loads((folder / "out" / "chats.json").read_text())
    return ids.reshape(-1, values["seq_len"]), mask.reshape(-1, values["seq_len"]), described


def test_template_rows(folder: Path, tokenizer: Tokenizer) -> None:
    """Decoded, a row is the template's text and padding; its targets are the answers with their end of text."""
    ids, mask, described = tokenized(folder)
    end = "<|endoftext|>"
    texts = [
        f"{end}<|user|>\nWhat is 12 + 30?\n<|assistant|>\nThe answer is 42.{end}",
        f"{end}<|system|>\nBe brief. \n<|user|>\n add?\n<|assistant|>\nleft + right{end}\n<|user|>\nagain\n"
        f"<|assistant|>\n No. {end}",
    ]
    answers = [f"The answer is 42.{end}", f"left + right{end} No. {end}"]
    for row, targets, text, answer in zip(ids, mask, texts, answers, strict=True):
        length = int((row != tokenizer.pad_id).sum())
        assert tokenizer.decode(row[:length].tolist(), skip_special=False) == text
        assert (row[length:] == tokenizer.pad_id).all() and not targets[length:].any()
        assert tokenizer.decode(row[targets == 1].tolist(), skip_special=False) == answer
    assert set(mask.ravel().tolist()) == {0, 1}
    assert described["num_rows"] == 2 and described["dtype"] == "uint16" and described["num_dropped"] == 0
    assert described["num_tokens"] == int((ids != tokenizer.pad_id).sum())
    assert described["num_targets"] == int(mask.sum())
    assert described["tokenizer"] == tokenizer.fingerprint


def tulu_by_hand(tokenizer: Tokenizer, chat: list[dict[str, str]]) -> tuple[list[int], list[int]]:
    """The layout of prepare_tulu_data.py, as text whose control tokens are meant."""
    pieces = [("<|endoftext|>", 0)]
    for message in chat:
        pieces.append((f"<|{message['role']}|>\n", 0))
        if message["role"] == "assistant":
            pieces += [(message["content"].strip() + "<|endoftext|>", 1), ("\n", 0)]
        else:
            pieces.append((message["content"].strip() + "\n", 0))
    ids: list[int] = []
    targets: list[int] = []
    for text, is_target in pieces:
        part = tokenizer.encode(text, allow_special=True)
        ids += part
        targets += [is_target] * len(part)
    return ids, targets


def test_tulu_rows(folder: Path, tokenizer: Tokenizer) -> None:
    ids, mask, _ = tokenized(folder, layout="tulu")
    for row, targets, chat in zip(ids, mask, CHATS, strict=True):
        expected, expected_targets = tulu_by_hand(tokenizer, chat)
        assert row[: len(expected)].tolist() == expected
        assert targets[: len(expected)].tolist() == expected_targets
        assert (row[len(expected) :] == tokenizer.pad_id).all() and not targets[len(expected) :].any()


def test_long_ones_are_cut_and_those_without_a_target_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_chats(
        folder / "chats.jsonl",
        [
            CHATS[0],
            [{"role": "user", "content": "why " * 100}, CHATS[0][1]],  # the answer starts beyond the row
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "yes " * 100}],
            [{"role": "user", "content": "nobody answers"}],
        ],
    )
    ids, mask, described = tokenized(folder, seq_len=64)
    assert len(ids) == 2 and (described["num_truncated"], described["num_dropped"]) == (1, 2)
    assert mask[1, -1] == 1
    said = capsys.readouterr().out.replace("\n", " ")
    assert "1 were cut to the row and 2 left out because no target was left" in said
    assert f"--data.label_mask_paths=[{folder}/out/label_mask.npy]" in said


def test_equal_input_gives_equal_bytes(folder: Path) -> None:
    tokenized(folder)
    first = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    (folder / "out").rename(folder / "before")
    tokenized(folder)
    assert first == {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"messages": [{"role": "user", "content": "Hi"}]}', "no conversation of .* has an assistant's message"),
        ('{"messages": [{"role": "pirate", "content": "Arr"}]}', "chats.jsonl:1: .*role must be system, user"),
        ('{"text": "no messages"}', 'chats.jsonl:1: the row must be an object with a list "messages"'),
        ("", "chats.jsonl is empty"),
    ],
)
@pytest.mark.parametrize("layout", ["template", "tulu"])
def test_bad_input_leaves_nothing_behind(folder: Path, lines: str, message: str, layout: str) -> None:
    (folder / "chats.jsonl").write_text(lines)
    with pytest.raises(UsageError, match=message):
        tokenized(folder, layout=layout)
    assert sorted(path.name for path in folder.iterdir()) == ["chats.jsonl", "tokenizer"]


def test_nothing_is_overwritten(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "precious").write_text("keep me")
    with pytest.raises(UsageError, match=r"output: .*out already exists"):
        tokenized(folder)


def test_missing_conversations_name_the_setting(folder: Path) -> None:
    (folder / "chats.jsonl").unlink()
    with pytest.raises(UsageError, match="conversations: there is no file or folder"):
        tokenized(folder)


def test_dolma2_ids_fill_32_bits(folder: Path, shared: Path) -> None:
    """Ids above 65,535, which the old script could not write, equal those of transformers' template."""
    transformers = pytest.importorskip("transformers")
    name = next((shared / "data" / "tokenizer").rglob("tokenizer.json"), None)
    if name is None:
        pytest.skip("the dolma2 tokenizer is not beside this checkout")
    ids, mask, described = tokenized(folder, "<u4", tokenizer=str(name))
    dolma2 = load_tokenizer(name)
    dolma2.save(folder / "dolma2")
    theirs = transformers.AutoTokenizer.from_pretrained(folder / "dolma2")
    for row, targets, chat in zip(ids, mask, CHATS, strict=True):
        expected = theirs.apply_chat_template(chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        assert row[: len(expected["input_ids"])].tolist() == expected["input_ids"]
        assert targets[: len(expected["input_ids"])].tolist() == expected["assistant_masks"]
        assert row[-1] == 100_277
    assert described["dtype"] == "uint32" and ids.max() > 2**16
