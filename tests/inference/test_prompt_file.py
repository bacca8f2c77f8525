"""Files of prompts: what is wrong is named, what is done is kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.inference.prompt_file import CompletionFile, made_with, prompt_ids, read_prompts
from olmo2.inference.request import Completion
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

ROWS: list[dict[str, Any]] = [{"prompt": "The fox", "id": 7}, {"prompt": "é"}, {"prompt": "x"}]


def completion(text: str) -> Completion:
    return Completion([1], text, "stop")


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_prompts_and_messages(tmp_path: Path, tokenizer: Tokenizer) -> None:
    user = [{"role": "user", "content": "Hi"}]
    rows, ids = read_prompts(
        write(tmp_path / "a.jsonl", {"prompt": "Hi"}, {"messages": user}), tokenizer, is_chat=False
    )
    chat = encode_chat(tokenizer, user, add_generation_prompt=True)[0]
    assert ids == [tokenizer.encode("Hi"), chat] and rows[1] == {"messages": user}
    assert prompt_ids(tokenizer, {"prompt": "Hi"}, is_chat=True) == chat


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1], 'a.jsonl:2: the row must be an object with either "prompt" or "messages"'),
        ({"text": "x"}, "a.jsonl:2: the row must be an object"),
        ({"prompt": "x", "messages": []}, "a.jsonl:2: the row must be an object"),
        ({"prompt": 3}, 'a.jsonl:2: "prompt" must be text'),
        ({"messages": [{"role": "judge", "content": "x"}]}, "a.jsonl:2: .*role"),
        ({"messages": []}, "a.jsonl:2: "),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, tokenizer: Tokenizer, row: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_prompts(write(tmp_path / "a.jsonl", {"prompt": "x"}, row), tokenizer, is_chat=False)


def test_no_file_and_no_rows(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="there is no file of prompts"):
        read_prompts(tmp_path / "nowhere.jsonl", tokenizer, is_chat=False)
    with pytest.raises(UsageError, match="is empty"):
        read_prompts(write(tmp_path / "a.jsonl"), tokenizer, is_chat=False)


def test_what_is_done_is_kept_and_put_in_order(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with CompletionFile(output, ROWS, "x").adding() as add:
        add(2, completion("c"))
        add(0, completion("a"))
    with open(tmp_path / "out.jsonl.partial", "ab") as file:
        file.write(b'{"row": 1, "comple')  # a kill
    file = CompletionFile(output, ROWS, "x")
    assert set(file.done) == {0, 2}
    with file.adding() as add:
        add(1, completion("b"))
    file.finish()
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {**row, "completion": text, "finish_reason": "stop"} for row, text in zip(ROWS, "abc", strict=True)
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl"]
    with pytest.raises(UsageError, match=r"out\.jsonl exists; choose another output"):
        CompletionFile(output, ROWS, "x")


def test_work_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    with CompletionFile(tmp_path / "out.jsonl", ROWS, "x").adding() as add:
        add(0, completion("a"))
    with pytest.raises(UsageError, match="was made with another model, other prompts or other settings"):
        CompletionFile(tmp_path / "out.jsonl", ROWS, "y")
    (tmp_path / "out.jsonl.partial").write_text("[]\n[]\n")
    with pytest.raises(UsageError, match="is damaged; remove it to begin again"):
        CompletionFile(tmp_path / "out.jsonl", ROWS, "x")


def test_two_processes_do_not_write_the_same_file(tmp_path: Path) -> None:
    first, second = (CompletionFile(tmp_path / "out.jsonl", ROWS, "x") for _ in range(2))
    with first.adding(), pytest.raises(UsageError, match="another process is writing"), second.adding():
        pass


def test_made_with_tells_prompts_and_settings_apart(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", {"prompt": "x"}), write(tmp_path / "b", {"prompt": "y"})
    assert len({made_with({"seed": 1}, first), made_with({"seed": 2}, first), made_with({"seed": 1}, second)}) == 3
