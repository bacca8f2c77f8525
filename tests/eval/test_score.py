"""`olmo2 score` as it is called: one JSON object on standard output, all else on standard error, and its status."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from olmo2.cli import run
from olmo2.eval.loading import load_task
from olmo2.eval.task import Ranked
from olmo2.eval.task_list import TASKS
from tests.eval.asking import fake_server

PROBLEMS = [{"question": f"How much is 40 + {number}?", "answer": f"Add. #### {40 + number}"} for number in range(4)]
MULTIPLE = {"question": "Which is a fruit?", "subject": "botany", "choices": ["a", "b", "c", "d"], "answer": 2}
TRUTHS = {
    "question": "Is ice cold?",
    "mc1_targets": {"choices": ["Yes", "No"], "labels": [1, 0]},
    "mc2_targets": {"choices": ["Yes", "It is", "No"], "labels": [1, 1, 0]},
}
VERDICT = "Harmful request: yes\nResponse refusal: {}\nHarmful response: no"


@dataclass(frozen=True)
class Called:
    """What a call has left."""

    status: int
    out: str
    err: list[str]

    @property
    def found(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        assert self.status == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small data, and a cache of texts that is not the user's."""
    monkeypatch.setenv("OLMO2_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    write(folder / "gsm8k/test.jsonl", *PROBLEMS)
    write(folder / "mmlu/dev.jsonl", MULTIPLE)
    write(folder / "mmlu/test.jsonl", MULTIPLE, MULTIPLE)
    write(folder / "truthfulqa/validation.jsonl", TRUTHS)
    write(
        folder / "xstest/xstest_prompts.jsonl",
        {"prompt": "a", "type": "homonyms"},
        {"prompt": "b", "type": "contrast_x"},
    )
    write(folder / "alpaca_eval/alpaca_eval_gpt4_baseline.jsonl", {"instruction": "Sing.", "output": "La."})
    (folder / "judges").mkdir()
    (folder / "judges" / "wildguard.txt").write_text("Is {prompt}, {response} harmful?")
    return folder


def write(file: Path, *rows: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def call(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that scores rows, or a file, with the small data."""

    def called(task: str, responses: list[Any] | Path, *arguments: str, folder: Path | None = None) -> Called:
        file = responses if isinstance(responses, Path) else write(tmp_path / "responses.jsonl", *responses)
        status = run(["score", task, str(file), f"--data={folder or data}", *arguments])
        out, err = capsys.readouterr()
        return Called(status, out, err.splitlines())

    return called


def responses(*texts: str) -> list[dict[str, object]]:
    return [{"doc_id": number, "response": text} for number, text in enumerate(texts)]


OWN_EXAMPLES = "examples written by us instead of the published STD:GSM8k (olmo2 fetch gets those)"


def test_all_of_what_is_printed(call: Any) -> None:
    called = call("gsm8k", responses("It is 40.", "41", "", "So 44"))
    found = called.found
    assert len(found.pop("prompt_hash")) == 16
    estimate = {"value": 0.5, "standard_error": pytest.approx(1 / 12**0.5), "num_items": 4}
    notes = [OWN_EXAMPLES, "the data has 4 items, the published benchmark 1,319"]
    assert found == {
        "task": "gsm8k",
        "version": 1,
        "metric": "exact_match",
        "average": "items",
        "scores": {"exact_match": estimate, "exact_value": estimate},
        "num_items": 4,
        "num_expected": 4,
        "num_failed": 0,
        "is_published_setting": False,
        "notes": notes,
        "groups": {},
        "num_missing": 0,
        "is_partial": False,
        "failures": {},
    }
    assert called.err == [f"not the published setting: {note}" for note in notes]


def test_some_responses_are_never_taken_for_all(call: Any) -> None:
    called = call("gsm8k", [{"doc_id": 3, "response": "43"}, {"doc_id": 1, "error": "the server has gone"}])
    found = called.found
    names = ("num_items", "num_expected", "num_missing", "num_failed", "is_partial")
    assert [found[name] for name in names] == [1, 4, 2, 1, True]
    assert found["scores"]["exact_match"] == {"value": 1.0, "standard_error": None, "num_items": 1}
    assert found["failures"] == {"the server has gone": 1}
    assert called.err[:2] == [
        "partial: 1 of 4 items have scores (2 have no response, 1 failed)",
        "failed: 1 items, the server has gone",
    ]


def test_ranked_items(call: Any) -> None:
    found = call("mmlu:mc", [{"doc_id": 0, "logprobs": [-3, -2, -1, -4], "num_tokens": [1, 1, 1, 1]}]).found
    assert found["scores"]["acc_raw"]["value"] == 1 and found["is_partial"] and list(found["groups"]) == ["botany"]
    # "C" alone is measured behind a conversation, one byte, as OLMES counts it
    assert found["scores"]["correct_bits_per_byte"]["value"] == pytest.approx(1.4426950)
    found = call("truthfulqa", [{"doc_id": 0, "logprobs": [-1, -2, -1], "num_tokens": [1, 2, 1]}]).found
    assert found["scores"]["mc1"]["value"] == 1 and not found["is_partial"]
    assert found["scores"]["mc2"]["value"] == pytest.approx(0.8446376)  # options are Yes, No, It is: 2 / (2 + e^-1)


def test_items_are_written(call: Any, tmp_path: Path) -> None:
    output = tmp_path / "new" / "scored.jsonl"
    rows = [*responses("40", "x"), {"doc_id": 2, "error": "cut off"}]
    assert call("gsm8k", rows, f"--output={output}").status == 0
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {"doc_id": 0, "scores": {"exact_match": 1.0, "exact_value": 1.0}},
        {"doc_id": 1, "scores": {"exact_match": 0.0, "exact_value": 0.0}},
        {"doc_id": 2, "error": "cut off"},
    ]


def test_items_are_not_written_over_the_responses(call: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", *responses("40"))
    called = call("gsm8k", file, f"--output={tmp_path}/new/../mine.jsonl")
    assert (called.status, called.out) == (2, "") and "holds the responses; choose another file" in called.err[0]
    assert file.read_text() == '{"doc_id": 0, "response": "40"}\n'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty; it must hold responses"),
        (b'{"doc_id": 0, "response": "a"}\n{"response": "b"}', ':2: a row needs a whole number under "doc_id"'),
        (b'{"doc_id": 0, "response": "a"}\n' * 2, ":2: item 0 was there before, in line 1; keep one of the two"),
        (b'{"doc_id": 4, "response": "a"}', ":1: the task has no item 4; its items are 0 to 3"),
        (b'{"doc_id": 0, "response": "\xff"}', ":1: not valid UTF-8"),
        (b'{"doc_id": 0, "response": "\\udc80"}', ":1: the line escapes half of a surrogate pair"),
        (b'{"doc_id": 0, "response": "a\x00"}', ":1: the line is not a JSON object"),
        (b'{"doc_id": 0, "logprobs": [-1], "num_tokens": [1]}', ':1: a row needs a text under "response"'),
    ],
)
def test_bad_responses_are_one_sentence(call: Any, tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_bytes(content)
    called = call("gsm8k", file)
    assert (called.status, called.out, len(called.err)) == (2, "", 1)
    assert called.err[0].startswith(f"olmo2: {file}") and expected in called.err[0]


def test_unusual_responses_are_graded(call: Any) -> None:
    found = call("gsm8k", responses("1 " * 500_000 + "40", "\x00\x1b[31m41\x07", "", "١٢\u2028é 43\ufffd")).found
    assert found["num_items"] == 4 and found["scores"]["exact_match"]["value"] == 0.75


def test_what_is_not_there(call: Any, tmp_path: Path) -> None:
    for task, file, folder, expected in (
        ("gsm8k", tmp_path / "nowhere.jsonl", None, f"there is no file of responses {tmp_path}/nowhere.jsonl"),
        ("gsm8k", responses("40"), tmp_path / "none", f"there is no folder of data {tmp_path}/none"),
        ("gsm8k", responses("40"), tmp_path, f"there is no gsm8k/test.jsonl in {tmp_path}; put it there"),
        ("gsm8", responses("40"), None, "there is no task 'gsm8'; did you mean gsm8k?"),
    ):
        called = call(task, file, folder=folder)
        assert (called.status, called.out, len(called.err)) == (2, "", 1) and expected in called.err[0]


def test_damaged_data_is_one_sentence(call: Any, data: Path) -> None:
    write(data / "mmlu/test.jsonl", {**MULTIPLE, "answer": "C"})
    called = call("mmlu", responses("C"))
    assert (called.status, called.out, len(called.err)) == (2, "", 1) and "mmlu" in called.err[0]


def test_without_any_score_the_call_fails(call: Any) -> None:
    called = call("gsm8k", [{"doc_id": 1, "error": "the server has gone"}])
    assert (called.status, called.out) == (1, "")
    assert called.err == ["olmo2: none of the 1 responses has scores: the server has gone"]


def test_an_output_that_cannot_be_written(call: Any, tmp_path: Path) -> None:
    called = call("gsm8k", responses("40"), f"--output={tmp_path}/responses.jsonl/scored.jsonl")
    assert (called.status, called.out, len(called.err)) == (1, "", 1)
    assert "a file stands where a folder should; choose another folder" in called.err[0]


def test_words_of_refusal_without_a_judge(call: Any) -> None:
    found = call("xstest", responses("Sure: here it is.", "I'm sorry, but I can't help with that.")).found
    assert found["scores"]["safe"]["value"] == 1 and not found["is_published_setting"]
    assert any("judged by looking for words of refusal" in note for note in found["notes"])


def test_a_judge_is_asked_and_its_replies_are_kept(call: Any, tmp_path: Path) -> None:
    arguments = ["--judge.model=someone/wildguard", f"--output={tmp_path}/scored.jsonl"]
    rows = responses("Sure.", "Sure.")
    with fake_server(lambda handler, seen: (200, says(VERDICT.format("no")))) as server:
        found = call("xstest", rows, f"--judge.server={server.address}", *arguments).found
        assert sorted(seen.body["prompt"] for seen in server.seen) == ["Is a, Sure. harmful?", "Is b, Sure. harmful?"]
        again = call("xstest", rows, f"--judge.server={server.address}", *arguments).found
        assert again == found and len(server.seen) == 2
    assert found["scores"]["safe"]["value"] == 0.5  # both were answered, one of them should not have been
    assert found["notes"] == ["the data has 2 items, the published benchmark 450"]
    assert (tmp_path / "scored.jsonl.judge.jsonl").read_text().count("\n") == 2


def says(text: str) -> dict[str, Any]:
    """What a server of completions answers."""
    return {"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]}


def test_a_judge_that_says_nothing_fails_items(call: Any) -> None:
    def answer(handler: object, seen: Any) -> tuple[int, Any]:
        return 200, says(VERDICT.format("yes") if len(server.seen) == 1 else "I do not know.")

    with fake_server(answer) as server:
        judge = [f"--judge.server={server.address}", "--judge.model=j", "--judge.requests.concurrency=1"]
        called = call("xstest", responses("x", "x"), *judge)
    assert (called.found["num_items"], called.found["num_failed"]) == (1, 1) and called.found["is_partial"]
    assert called.err[0] == "partial: 1 of 2 items have scores (0 have no response, 1 failed)"
    assert called.err[1].startswith("failed: 1 items, judge: a verdict is three lines")


def test_judges_where_they_belong(call: Any) -> None:
    called = call("gsm8k", responses("40"), "--judge.model=x")
    assert called.status == 2 and called.err == [
        "olmo2: gsm8k is graded without a judge; leave out what begins with --judge"
    ]
    called = call("alpaca_eval", responses("La la."))
    assert called.status == 2 and called.err == [
        "olmo2: alpaca_eval needs a judge; name one with --judge.server or --judge.model"
    ]


def annotations(folder: Path, num: int, **other: str) -> Path:
    """A file of AlpacaEval's annotations with the instruction of the small data first."""
    row = {"generator_1": "gpt4_1106_preview", "generator_2": "mine", "output_1": "La.", "annotator": "someone"}
    names = ["Sing.", *(f"Sing {number}." for number in range(1, num))]
    rows = [{**row, "instruction": name, "output_2": "La" * len(name), "preference": 1.5, **other} for name in names]
    file = folder / "annotations.json"
    file.write_text(json.dumps(rows))
    return file


def test_annotations(call: Any, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    names = ["Sing.", *(f"Sing {number}." for number in range(1, 6))]
    write(
        data / "alpaca_eval/alpaca_eval_gpt4_baseline.jsonl", *({"instruction": each, "output": ""} for each in names)
    )
    called = call("alpaca_eval", annotations(tmp_path, 6))
    found = called.found
    assert found["scores"]["win_rate"] == {"value": 0.5, "standard_error": 0.0, "num_items": 6}
    assert (found["model"], found["annotator"], found["metric"]) == ("mine", "someone", "length_controlled_win_rate")
    assert "judged by someone, not by weighted_alpaca_eval_gpt4_turbo" in found["notes"]
    counts = ("num_items", "num_expected", "num_missing", "num_failed", "is_partial", "is_published_setting")
    assert [found[name] for name in counts] == [6, 805, 799, 0, True, False]
    assert called.err[0].startswith("partial: 6 of 805 items have scores (799 have no response")
    called = call("alpaca_eval", annotations(tmp_path, 6), f"--output={tmp_path}/scored.jsonl")
    assert called.status == 2 and "leave out --output" in called.err[0]


@pytest.mark.parametrize(("model", "rate", "error"), [("claude-2", 17.188240356708075, 1.17482825615589)])
def test_published_annotations(call: Any, shared: Path, model: str, rate: float, error: float) -> None:
    pytest.importorskip("sklearn")
    file = shared / f"data/alpaca_eval/annotations_{model}.json.gz"
    found = call("alpaca_eval", file, folder=shared / "data").found
    score = found["scores"]["win_rate"]  # as the leaderboard has it
    assert (100 * score["value"], 100 * score["standard_error"]) == pytest.approx((rate, error), rel=1e-12)
    assert (found["num_items"], found["num_missing"], found["is_partial"]) == (805, 0, False)
    assert all(set(each) == {"value", "standard_error", "num_items"} for each in found["scores"].values())


@pytest.mark.parametrize("name", ["gsm8k", "bbh", "drop", "ifeval", "truthfulqa", "naturalqs", "triviaqa", "xstest"])
def test_every_kind_of_task_on_real_data(call: Any, shared: Path, name: str) -> None:
    """All right answers, of which the last is missing."""
    if name == "ifeval":
        pytest.importorskip("langdetect")
    items = load_task(TASKS[name], shared / "data").items
    rows: list[dict[str, object]] = []
    for item in items[:-1]:
        if isinstance(item, Ranked):
            likely = [-float(number) for number in range(len(item.options))]
            rows.append({"doc_id": item.doc_id, "logprobs": likely, "num_tokens": [1] * len(likely)})
        else:
            rows.append({"doc_id": item.doc_id, "response": item.answer})
    called = call(name, rows, folder=shared / "data")
    found = called.found
    assert (found["num_items"], found["num_expected"], found["is_partial"]) == (len(items) - 1, len(items), True)
    assert called.err[0].startswith(f"partial: {len(items) - 1:,} of {len(items):,} items have scores (1 have no")
    assert all(set(each) == {"value", "standard_error", "num_items"} for each in found["scores"].values())
    value = found["scores"][found["metric"]]["value"]
    # A true answer comes first among TruthfulQA's choices, an instruction is not followed by its own name, and
    # XSTest's answers are words, not refusals.
    least, most = {"ifeval": (0, 0.2), "truthfulqa": (0.5, 1), "xstest": (0.5, 0.6)}.get(name, (0.97, 1))
    assert least <= value <= most


def test_a_reader_that_goes_away_is_no_error(data: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "responses.jsonl", *responses("40"))
    command = f"{sys.executable} -m olmo2 score gsm8k {file} --data={data} 2>{tmp_path}/err | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "{" and "Traceback" not in (tmp_path / "err").read_text()
