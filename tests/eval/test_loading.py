"""Tasks come with all their items, or with one sentence that says what is in the way."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import RunError, UsageError
from olmo2.eval.loading import data_folder, drawn, load_task, load_tasks
from olmo2.eval.sources import Source
from olmo2.eval.task import AnyItem, Prompt, Task, Written
from olmo2.eval.task_list import TASKS

ITEMS: list[AnyItem] = [Written(0, "", "", Prompt("?"), lambda response: {})]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fetched texts of the user's."""
    monkeypatch.setenv("OLMO2_CACHE", str(tmp_path / "cache"))


def task_of(name: str, found: Sequence[AnyItem] | Exception) -> Task:
    """A task that loads, or does not."""

    def load(source: Source) -> Sequence[AnyItem]:
        source.note(f"from {source.data}")
        if isinstance(found, Exception):
            raise found
        return found

    return Task(name, 1, "", load, "right", 1)


def test_a_task_that_loads(tmp_path: Path) -> None:
    loaded = load_task(task_of("a", ITEMS), tmp_path)
    assert (loaded.task.name, loaded.items, loaded.source.notes) == ("a", ITEMS, [f"from {tmp_path}"])


@pytest.mark.parametrize(
    "error",
    [
        KeyError("subject"),
        IndexError("list index out of range"),
        TypeError("not text"),
        AttributeError("no split"),
        ValueError("invalid literal"),
    ],
)
def test_data_in_another_form(error: Exception) -> None:
    with pytest.raises(UsageError) as caught:
        load_task(task_of("quiz", error), None)
    assert str(caught.value) == (
        f"the data of quiz is not in its form ({type(error).__name__}: {error}); compare it with the benchmark's own"
    )


@pytest.mark.parametrize("error", [UsageError("there is no file x"), RunError("no hub"), ZeroDivisionError("defect")])
def test_other_errors_stay_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        load_task(task_of("quiz", error), None)


def test_rows_that_no_answer_can_be_graded_by_are_known_at_once() -> None:
    def broken(response: str) -> Mapping[str, float]:
        return {"share": len(response) / len(response)}

    items = [Written(0, "q", "a", Prompt("q"), lambda _: {}), Written(7, "q", "a", Prompt("q"), broken)]
    with pytest.raises(UsageError, match=r"item 7 of quiz cannot be graded \(ZeroDivisionError: division by zero\)"):
        load_task(task_of("quiz", items), None)
    with pytest.raises(UsageError, match="the data of quiz has no item"):
        load_task(task_of("quiz", []), None)


def test_lists_that_are_texts(tmp_path: Path) -> None:
    """A table has no lists: their letters are not the answers."""
    (tmp_path / "naturalqs").mkdir()
    (tmp_path / "naturalqs" / "NQ-open.dev.csv").write_text("question,answer\nCapital of France?,Paris\n")
    with pytest.raises(UsageError, match="a list of texts is needed, not 'Paris'"):
        load_task(TASKS["naturalqs"], tmp_path)


def test_tasks_of_a_suite_may_lack_their_data() -> None:
    tasks = [task_of("a", UsageError("there is no file x")), task_of("b", ITEMS), task_of("c", RunError("no hub"))]
    loaded, missing = load_tasks(tasks, None, may_lack=frozenset("abc"))
    assert [each.task.name for each in loaded] == ["b"] and missing == {"a": "there is no file x", "c": "no hub"}
    with pytest.raises(RunError, match="no hub"):
        load_tasks(tasks, None, may_lack=frozenset("ab"))


@pytest.mark.parametrize(
    ("task", "file", "row"),
    [
        ("mmlu", "mmlu/test", {"question": "?", "subject": "x", "choices": ["a", "b"], "answer": "B"}),
        ("mmlu", "mmlu/test", {"question": "?", "subject": "x", "choices": ["a", "b"], "answer": 99}),
        ("mmlu", "mmlu/test", {"question": "?", "subject": None, "choices": ["a", "b"], "answer": 0}),
        ("gsm8k", "gsm8k/test", {"question": "?", "answer": 5}),
        ("truthfulqa", "truthfulqa/validation", {"question": "?", "mc1_targets": [], "mc2_targets": []}),
        (
            "truthfulqa",
            "truthfulqa/validation",
            {"question": "?", "mc1_targets": {"choices": ["a"], "labels": []}, "mc2_targets": {}},
        ),
        ("ifeval", "ifeval/input_data", {"prompt": "?", "instruction_id_list": 3, "kwargs": []}),
    ],
)
def test_real_tasks_say_when_rows_are_in_another_form(
    tmp_path: Path, task: str, file: str, row: dict[str, Any]
) -> None:
    path = tmp_path / f"{file}.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(row))
    with pytest.raises(UsageError) as caught:
        load_task(TASKS[task], tmp_path)
    assert task in str(caught.value) and "\n" not in str(caught.value)


def test_the_folder_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder(None) is None
    assert data_folder(str(tmp_path)) == data_folder("~") == tmp_path
    (tmp_path / "file").touch()
    for name in ("file", "nowhere"):
        with pytest.raises(UsageError, match=f"there is no folder of data {tmp_path}/{name}; name one with --data=DIR"):
            data_folder(f"{tmp_path}/{name}")


def test_items_are_drawn_as_olmes_draws_them() -> None:
    items = [Written(number, "q", "a", Prompt(), lambda _: {}) for number in range(100)]
    expected = sorted(random.Random(1234).sample(range(100), 7))
    assert [item.doc_id for item in drawn(items, 7)] == expected
    assert drawn(items, 100) == drawn(items, None) == items
