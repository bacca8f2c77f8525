"""`olmo2 tasks` lists every benchmark once, with the suite that it belongs to."""

import pytest

from olmo2.cli import run
from olmo2.eval.task_list import SUITES, TASKS


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(["tasks", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_all_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys)
    assert [line.split()[0] for line in lines] == list(TASKS)
    assert all(TASKS[line.split()[0]].summary in line for line in lines)


@pytest.mark.parametrize("suite", ["instruct", "base"])
def test_one_suite(capsys: pytest.CaptureFixture[str], suite: str) -> None:
    lines = listed(capsys, f"--suite={suite}")
    assert {line.split()[0] for line in lines} == {name for column in SUITES[suite] for name in column.tasks}
    assert all(line.split()[1] == suite for line in lines)


def test_tasks_outside_of_suites_are_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    line = next(line for line in listed(capsys) if line.startswith("mmlu:mc "))
    assert not {"instruct", "base"} & set(line.split()[:2])


def test_a_suite_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks", "--suite=chat"]) == 2
    assert "suite" in capsys.readouterr().err
