"""WinoGrande: prompts as OLMES renders them, the same ending behind either name, and what likelihoods are worth."""

from pathlib import Path

import pytest

from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, likelihoods, load, write_rows

ROWS = [
    {"sentence": "The cup fit the box as the _ was small.", "option1": "cup", "option2": "box", "answer": "1"},
    {"sentence": "Kim paid Lee, so _  was rich_ again.", "option1": "Kim", "option2": "Lee", "answer": "2"},
    {"sentence": "_'s dog bit Max.", "option1": "Ada", "option2": "Max", "answer": "1"},
]
NAMES = ("winogrande:rc", "winogrande:mc")


@pytest.mark.parametrize("name", NAMES)
def test_real_sentences_are_asked_as_olmes_asks_them(name: str, real: Path) -> None:
    items, notes = load(name, real)
    assert hashes(find_task(name), items) == FROZEN["real"][name]
    assert notes == []


@pytest.mark.parametrize("name", NAMES)
def test_sentences_of_our_own(name: str, data: Path) -> None:
    write_rows(data, "winogrande/validation", ROWS)
    items, notes = load(name, data)
    assert_asks_as_olmes(name, items)
    assert [(item.doc_id, item.answer) for item in items] == [(0, "cup"), (1, "Lee"), (2, "Ada")]
    assert notes == ["examples written by us instead of the published OLMES:winogrande (olmo2 fetch gets those)"]


def test_the_ending_is_the_same_and_the_beginnings_differ(data: Path) -> None:
    write_rows(data, "winogrande/validation", ROWS)
    first, second = load("winogrande:rc", data)[0][0].options
    assert first.continuation == second.continuation == " was small."
    assert first.prompt.text.endswith("\n\nThe cup fit the box as the cup")
    assert second.prompt.text.endswith("\n\nThe cup fit the box as the box")
    assert first.prompt.text.removesuffix("cup") == second.prompt.text.removesuffix("box")


@pytest.mark.parametrize("name", NAMES)
def test_the_likelier_one_is_the_answer(name: str, data: Path) -> None:
    write_rows(data, "winogrande/validation", ROWS)
    items, _ = load(name, data)
    assert [item.grade(likelihoods(-1.0, -2.0))["acc_raw"] for item in items] == [1, 0, 1]
    assert [item.grade(likelihoods(-3.0, -2.0))["acc_raw"] for item in items] == [0, 1, 0]
