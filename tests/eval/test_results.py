"""What is written reads back equal, and whatever else lies there is one sentence."""

import json
from pathlib import Path

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.results import ColumnResult, ItemScores, is_fraction, items_file, read_items, read_results
from olmo2.eval.statistics import Estimate
from tests.eval.small_results import task_result, write_folder

AS_AGREED = {  # the format, written by hand
    "format": 1,
    "model": {
        "name": "small",
        "hash": "0123",
        "dtype": "bfloat16",
        "engine": "olmo2",
        "num_parameters": 1000,
        "training_tokens": None,
    },
    "seed": 3,
    "packages": {"torch": "2.11"},
    "made_at": "2025-01-01T00:00:00+00:00",
    "tasks": {
        "arc:mc": {
            "version": 2,
            "prompt_hash": "abc",
            "metric": "acc_raw",
            "average": "groups",
            "scores": {"acc_raw": {"value": 1, "standard_error": None, "num_items": 1}},
            "num_items": 1,
            "num_expected": 1172,
            "num_failed": 1,
            "is_published_setting": True,
            "notes": ["a note"],
        }
    },
    "columns": {"ARC-C": {"value": 1.0, "standard_error": None, "from": ["arc:mc"], "notes": []}},
}


def written(folder: Path, values: object) -> Path:
    (folder / "results.json").write_text(json.dumps(values))
    return folder


def changed(path: str, value: object) -> dict[str, object]:
    """The format with one value changed, or left out where it is None."""
    values = json.loads(json.dumps(AS_AGREED))
    *groups, last = path.split(".")
    place = values
    for group in groups:
        place = place[group]
    place[last] = value
    if value is None:
        del place[last]
    return values


def test_the_format(tmp_path: Path) -> None:
    results = read_results(written(tmp_path, AS_AGREED))
    assert (results.model.num_parameters, results.model.training_tokens) == (1000, None)
    task = results.tasks["arc:mc"]
    assert task.scores == {"acc_raw": Estimate(1.0, None, 1)} and task.is_partial and task.average == "groups"
    assert results.columns["ARC-C"] == ColumnResult(1.0, None, ["arc:mc"], [])
    assert read_results(tmp_path / "results.json") == results


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    column = ColumnResult(0.5, 0.1, ["a:b"], ["é"])
    folder = write_folder(
        tmp_path / "run", {"a:b": task_result(), "c": task_result(num_items=0)}, columns={"C": column}
    )
    results = read_results(folder)
    assert results.columns == {"C": column} and results.tasks["a:b"] == task_result()
    values = json.loads((folder / "results.json").read_text())
    assert list(values) == list(AS_AGREED) and list(values["columns"]["C"]) == [
        "value",
        "standard_error",
        "from",
        "notes",
    ]
    assert [path.name for path in folder.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([], "is not from olmo2 evaluate"),
        ({"results": {}, "config": {}}, "is not from olmo2 evaluate"),
        (changed("format", 2), "has format 2, and this version of olmo2 reads 1"),
        (changed("tasks.arc:mc.version", "2"), "tasks.arc:mc.version: input should be a valid integer"),
        (changed("tasks.arc:mc.metric", None), "tasks.arc:mc.metric: field required"),
        (changed("tasks.arc:mc.metric", "f1"), "tasks.arc:mc: its metric f1 is not among its scores"),
        (changed("tasks.arc:mc.num_expected", 0), "it has 1 items, but 0 were expected"),
        (changed("tasks.arc:mc.scores.acc_raw.value", float("nan")), "a score must be a finite number, not nan"),
        (changed("model.num_parameters", 0), "model.num_parameters: input should be greater than 0"),
        (changed("columns.ARC-C.from", []), "it has a value, but comes from no task"),
        (changed("columns.ARC-C.from", ["arc:rc"]), "column ARC-C comes from task arc:rc, which is not there"),
        (changed("columns.ARC-C.value", float("inf")), "a score must be a finite number, not inf"),
    ],
)
def test_foreign_and_damaged_files(tmp_path: Path, values: object, complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        read_results(written(tmp_path, values))
    message = str(error.value)
    assert complaint in message and str(tmp_path / "results.json") in message and "\n" not in message


def test_files_that_are_not_there_or_torn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no results.json; name the output folder of olmo2 evaluate"):
        read_results(tmp_path)
    with pytest.raises(UsageError, match=r"there is no file .*nowhere"):
        read_results(tmp_path / "nowhere")
    (tmp_path / "results.json").write_text('{"format": 1, "mod')
    with pytest.raises(UsageError, match=r"results.json is not valid JSON"):
        read_results(tmp_path)


def test_items(tmp_path: Path) -> None:
    rows = [
        {"doc_id": 0, "group": "x", "response": "line\u2028separator", "scores": {"f1": 0.5, "exact_match": 1}},
        {"doc_id": 4, "group": "", "logprobs": [[-1.0]], "scores": {"acc_raw": 0.0}},
        {"doc_id": 5, "group": "", "error": "too long"},
    ]
    folder = write_folder(tmp_path / "run", {}, items={"a:b": rows, "none": []})
    assert items_file(folder, "a:b").name == "a-b.jsonl"
    assert read_items(folder, "a:b") == {
        0: ItemScores(0, "x", {"f1": 0.5, "exact_match": 1.0}),
        4: ItemScores(4, "", {"acc_raw": 0.0}),
        5: ItemScores(5, "", {}, "too long"),
    }
    assert read_items(folder, "none") == {}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"doc_id": 1, "gro', "invalid JSON"),
        ("[1]", "input should be an object"),
        ('{"doc_id": "1", "group": "", "scores": {"f1": 1}}', "doc_id: input should be a valid integer"),
        ('{"doc_id": 1, "group": ""}', "it has neither scores nor an error"),
        ('{"doc_id": 1, "group": "", "scores": {"f1": NaN}}', "f1 must be a finite number, not nan"),
        ('{"doc_id": 0, "group": "", "scores": {"f1": 1}}', "it repeats item 0"),
    ],
)
def test_damaged_items(tmp_path: Path, line: str, complaint: str) -> None:
    path = items_file(tmp_path, "t")
    path.write_text('{"doc_id": 0, "group": "", "scores": {"f1": 1}}\n' + line + "\n")
    with pytest.raises(UsageError) as error:
        read_items(tmp_path, "t")
    message = str(error.value)
    assert f"{path} line 2 is damaged" in message and complaint in message and "\n" not in message


def test_items_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .*t.jsonl, which holds the items of t; evaluate the model anew"):
        read_items(tmp_path, "t")


def test_metrics_with_a_unit_in_their_name() -> None:
    fractions = ("exact_match_flex", "acc_per_char", "mc2", "f1", "prompt_level_loose_acc", "correct_prob")
    others = ("bits_per_byte", "loss_nats", "correct_logprob", "correct_bits_per_byte")
    assert all(map(is_fraction, fractions)) and not any(map(is_fraction, others))
