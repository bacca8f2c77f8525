"""`olmo2 prompts` prints what is asked, as JSON lines, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from olmo2.cli import run
from olmo2.eval.loading import load_task
from olmo2.eval.task import requests_of
from olmo2.eval.task_list import TASKS

PROBLEMS = [
    {"question": f"Wie viel ist 40 + {number}? 汉\u2028", "answer": f"#### {40 + number}"} for number in range(300)
]
MULTIPLE = {"question": "Which?", "subject": "botany", "choices": ["a", "b", "c"], "answer": 2}
NOTE = "not the published setting: examples written by us instead of the published STD:GSM8k (olmo2 fetch gets those)\n"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small data, and a cache of texts that is not the user's."""
    monkeypatch.setenv("OLMO2_CACHE", str(tmp_path / "cache"))
    for name, rows in (("gsm8k/test", PROBLEMS), ("mmlu/test", [MULTIPLE]), ("mmlu/dev", [MULTIPLE])):
        file = tmp_path / "data" / f"{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "data"


@pytest.mark.parametrize(("name", "num_rows"), [("gsm8k", 300), ("gsm8k:base", 300), ("mmlu:mc", 3), ("mmlu", 1)])
def test_what_is_printed_is_what_is_asked(
    data: Path, capsys: pytest.CaptureFixture[str], name: str, num_rows: int
) -> None:
    assert run(["prompts", name, f"--data={data}"]) == 0
    task = TASKS[name]
    asked = [row for item in load_task(task, data).items for row in requests_of(task, item)]
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.rstrip("\n").split("\n")] == asked and len(asked) == num_rows
    assert err == (NOTE if name.startswith("gsm8k") else "")


def test_a_limit(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prompts", "gsm8k:base", f"--data={data}", "--limit=2"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.rstrip("\n").split("\n")]
    assert [row["doc_id"] for row in rows] == [0, 1]
    assert rows[1]["prompt"].endswith("Question: Wie viel ist 40 + 1? 汉\u2028\nAnswer:")
    assert rows[1]["max_new_tokens"] == 512 and "Question:" in rows[1]["stop"]
    assert run(["prompts", "mmlu:mc", f"--data={data}", "--limit=1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["continuation"] for row in rows] == [" A", " B", " C"] and rows[0]["messages"] == rows[2]["messages"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gsm8k", "--limit=0"], "limit"),
        (["gsm8"], "did you mean gsm8k?"),
        (["gsm8k", "--data=/nowhere"], "there is no folder of data /nowhere"),
        (["bbh"], "there is no"),
    ],
)
def test_what_cannot_be_printed(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    given = arguments if any("--data" in each for each in arguments) else [*arguments, f"--data={data}"]
    assert run(["prompts", *given]) == 2
    out, err = capsys.readouterr()
    assert out == "" and expected in err and err.startswith("olmo2: ") and err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(data: Path) -> None:
    command = f"{sys.executable} -m olmo2 prompts gsm8k --data={data} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["doc_id"] == 0 and done.stderr == NOTE
