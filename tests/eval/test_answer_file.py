"""Answers outlive the process that got them, whatever happens to it, and are never mixed with those of another."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import RunError, UsageError
from olmo2.eval.answer_file import AnswerFile, StoredAnswer, answers_path, differences
from olmo2.eval.task_list import find_task

MADE_WITH: dict[str, Any] = {"task": "quiz 1", "prompts": "ab", "model": "cd", "dtype": "float32", "seed": 0}
WRITTEN = StoredAnswer(0, "Zwölf 🙂\n\u2028\x00", num_tokens=(5,), is_unfinished=True)
EMPTY = StoredAnswer(1)
RANKED = StoredAnswer(2, logprobs=(-1.5, -20.25), num_tokens=(1, 2), is_cut=True)
FAILED = StoredAnswer(3, error="the server has gone")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "quiz.answers.jsonl"


def add(path: Path, *answers: StoredAnswer, **other: object) -> dict[int, StoredAnswer]:
    """Add answers and return what the file then holds for the caller."""
    file = AnswerFile(path, MADE_WITH | other)
    with file.adding():
        for answer in answers:
            file.add(answer)
    return file.answers


def test_the_lines(path: Path) -> None:
    add(path, WRITTEN, EMPTY, RANKED, FAILED)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        MADE_WITH,
        {"doc_id": 0, "response": "Zwölf 🙂\n\u2028\x00", "num_tokens": [5], "is_unfinished": True},
        {"doc_id": 1, "response": ""},
        {"doc_id": 2, "logprobs": [-1.5, -20.25], "num_tokens": [1, 2], "is_cut": True},
        {"doc_id": 3, "error": "the server has gone"},
    ]


def test_answers_are_taken_over_and_failures_are_asked_again(path: Path) -> None:
    assert add(path, WRITTEN, EMPTY, RANKED, FAILED)[3] == FAILED
    assert add(path) == {0: WRITTEN, 1: EMPTY, 2: RANKED}
    assert add(path, StoredAnswer(3, "now")) == {0: WRITTEN, 1: EMPTY, 2: RANKED, 3: StoredAnswer(3, "now")}
    assert add(path)[3] == StoredAnswer(3, "now")


@pytest.mark.parametrize("num_bytes", [1, 30, 100])
def test_a_kill_in_the_middle_of_a_line_costs_that_line(path: Path, num_bytes: int) -> None:
    add(path, WRITTEN, StoredAnswer(1, "x" * 200))
    whole = path.read_bytes()
    path.write_bytes(whole[:-num_bytes])
    assert add(path) == {0: WRITTEN}
    assert add(path, StoredAnswer(1, "x" * 200)) and path.read_bytes() == whole


@pytest.mark.parametrize("num_bytes", [0, 1, 20])
def test_a_kill_in_the_middle_of_the_first_line(path: Path, num_bytes: int) -> None:
    add(path, WRITTEN)
    whole = path.read_bytes()
    path.write_bytes(whole[:num_bytes])
    assert add(path, WRITTEN) == {0: WRITTEN} and path.read_bytes() == whole


def test_a_process_that_is_killed_has_kept_its_answers(path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from olmo2.eval.answer_file import AnswerFile, StoredAnswer
file = AnswerFile(Path({str(path)!r}), {MADE_WITH!r})
with file.adding():
    file.add(StoredAnswer(0, "kept"))
    print("added", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "added\n"
        with pytest.raises(UsageError, match=rf"^another process is writing to {path}; wait for it$"):
            add(path)
        os.kill(process.pid, signal.SIGKILL)
    assert add(path) == {0: StoredAnswer(0, "kept")}


@pytest.mark.parametrize("header", [b"\x00\x00", b"[]", b"12", b'{"task": ', b"\xff"])
def test_a_damaged_first_line(path: Path, header: bytes) -> None:
    add(path, WRITTEN)
    path.write_bytes(header + b"\n" + path.read_bytes().partition(b"\n")[2])
    with pytest.raises(UsageError, match=rf"^{path} is damaged; remove it to ask the model again$"):
        add(path)


@pytest.mark.parametrize(
    "row",
    [
        b"\x00\x00\x00",
        b"",
        b"[1]",
        b'{"response": "x"}',
        b'{"doc_id": "1"}',
        b'{"doc_id": 1.5}',
        b'{"doc_id": 1, "response": 7}',
        b'{"doc_id": 1, "logprobs": ["-1"]}',
        b'{"doc_id": 1, "num_tokens": 3}',
        b'{"doc_id": 1, "response": "\xff"}',
        b'{"doc_id": 1, "resp{"doc_id": 1, "response": ""}',
    ],
)
def test_a_damaged_line_is_named_and_can_be_removed(path: Path, row: bytes) -> None:
    add(path, WRITTEN)
    whole = path.read_bytes()
    path.write_bytes(whole + row + b"\n")
    with pytest.raises(UsageError, match=rf"^{path}:3 is damaged; remove this line to ask the model again$"):
        add(path)
    path.write_bytes(whole)
    assert add(path) == {0: WRITTEN}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"task": "quiz 2"}, "another version of the task"),
        ({"prompts": "ba"}, "other prompts or right answers"),
        ({"model": "dc"}, "another model"),
        ({"tokenizer": "ef"}, "another tokenizer"),
        ({"dtype": "bfloat16"}, "dtype float32 instead of bfloat16"),
        ({"seed": 1}, "seed 0 instead of 1"),
        ({"context": 4096}, "context None instead of 4096"),
        ({"model": "dc", "seed": 3}, "another model and seed 0 instead of 3"),
    ],
)
def test_what_was_made_otherwise_is_not_gone_on_with(path: Path, other: dict[str, object], words: str) -> None:
    add(path, WRITTEN)
    whole = path.read_bytes()
    expected = rf"^{path} was made with {words}; choose another --output, or remove the file$"
    with pytest.raises(UsageError, match=expected):
        add(path, StoredAnswer(1, "x"), **other)
    assert path.read_bytes() == whole
    assert differences(MADE_WITH, MADE_WITH) == ""


def test_two_processes_do_not_write_the_same_file(path: Path) -> None:
    first, second = (AnswerFile(path, MADE_WITH) for _ in range(2))
    with first.adding():
        with pytest.raises(UsageError, match="another process is writing to"), second.adding():
            pass
        first.add(WRITTEN)
    assert add(path) == {0: WRITTEN}


def test_a_full_disk_is_one_sentence_and_costs_nothing_written_before(path: Path) -> None:
    add(path, WRITTEN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # a file that may not grow stands for a full disk
    try:
        with pytest.raises(RunError, match=rf"^cannot write {path}: File too large; free some space"):
            add(path, EMPTY, StoredAnswer(5, "x" * 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert add(path, StoredAnswer(5, "y")) == {0: WRITTEN, 1: EMPTY, 5: StoredAnswer(5, "y")}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="a file stands where a folder should; choose another folder"):
        add(tmp_path / "file" / "quiz.answers.jsonl")


def test_the_name(tmp_path: Path) -> None:
    assert answers_path(tmp_path, find_task("mmlu:mc")) == tmp_path / "mmlu-mc.answers.jsonl"
