"""Files of prompts: what is wrong is named, what is done is kept."""

import json
import os
import shutil
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
        write(tmp_path / "a.jsonl", {"prompt": "Hi"}, {"messages": user}), tokenizer, len, is_chat=False
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
        read_prompts(write(tmp_path / "a.jsonl", {"prompt": "x"}, row), tokenizer, len, is_chat=False)


def test_no_file_and_no_rows(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="there is no file of prompts"):
        read_prompts(tmp_path / "nowhere.jsonl", tokenizer, len, is_chat=False)
    with pytest.raises(UsageError, match="is empty"):
        read_prompts(write(tmp_path / "a.jsonl"), tokenizer, len, is_chat=False)


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


def test_made_with_tells_prompts_settings_and_models_apart(tmp_path: Path, model_folder: Path) -> None:
    first, second = write(tmp_path / "a", {"prompt": "x"}), write(tmp_path / "b", {"prompt": "y"})
    model = shutil.copytree(model_folder, tmp_path / "other")
    found = {
        made_with({"seed": 1}, first, model),
        made_with({"seed": 2}, first, model),
        made_with({"seed": 1}, second, model),
    }
    os.utime(model / "model.safetensors", (1, 1))  # other weights under the same name
    assert len(found | {made_with({"seed": 1}, first, model)}) == 4


def test_a_key_that_would_be_written_over(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "x"}, {"prompt": "y", "finish_reason": "mine"})
    with pytest.raises(UsageError, match=r'a\.jsonl:2: "finish_reason" would be written over; give it another name'):
        read_prompts(path, tokenizer, len, is_chat=False)


def test_a_prompt_that_cannot_be_answered_is_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    def check(ids: list[int]) -> None:
        if len(ids) > 4:
            raise UsageError("it does not fit")

    with pytest.raises(UsageError, match=r"a\.jsonl:2: it does not fit"):
        read_prompts(
            write(tmp_path / "a.jsonl", {"prompt": "x"}, {"prompt": "0123456789"}), tokenizer, check, is_chat=False
        )


@pytest.mark.parametrize(("row", "completed"), [(3, {}), (-1, {}), (0, "x")])
def test_rows_that_are_not_there_are_damage(tmp_path: Path, row: int, completed: object) -> None:
    output = tmp_path / "out.jsonl"
    with CompletionFile(output, ROWS, "x").adding() as add:
        add(0, completion("a"))
    with open(tmp_path / "out.jsonl.partial", "a") as file:
        file.write(json.dumps({"row": row, "completed": completed}) + "\n")
    with pytest.raises(UsageError, match="is damaged; remove it to begin again"):
        CompletionFile(output, ROWS, "x")
