"""ARC-Challenge: prompts as OLMES renders them, rows in both forms, numbered answers, worth of likelihoods."""

from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.loading import load_task
from olmo2.eval.sources import read_rows
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, likelihoods, load, write_rows

TEXTS = ["a spoon", "two spoons ", "no spoon", "a fork", "a knife"]


def row(key: str, num: int = 4, labels: str = "ABCDE") -> dict[str, Any]:
    """A question in the form of the hub."""
    return {
        "id": key,
        "question": "What do you eat soup with?",
        "choices": {"text": TEXTS[:num], "label": list(labels[:num])},
        "answerKey": key,
    }


ROWS = [row("B"), row("3", 3, "12345"), row("E", 5), row("1", 5, "12345")]
LOCAL_ROWS = [  # the same in OLMES's own form
    {"query": f"Question: {row['question']}\nAnswer:", "choices": row["choices"]["text"], "gold": gold}
    for row, gold in zip(ROWS, (1, 2, 4, 0), strict=True)
]
NAMES = ("arc_challenge:rc", "arc_challenge:mc")


@pytest.mark.parametrize("name", NAMES)
def test_real_questions_are_asked_as_olmes_asks_them(name: str, real: Path) -> None:
    items, notes = load(name, real)
    assert hashes(find_task(name), items) == FROZEN["real"][name]
    assert notes == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["ARC-Challenge_validation", "ARC-Easy_validation"])
def test_real_rows_of_the_hub_are_asked_as_olmes_asks_them(name: str, split: str, real: Path, shared: Path) -> None:
    """Some of them number their answers."""
    write_rows(real, "arc/ARC-Challenge_test", read_rows(shared / "data" / "arc" / f"{split}.jsonl.gz"))
    items, _ = load(name, real)
    assert hashes(find_task(name), items) == FROZEN["real"][f"{name} {split}"]


@pytest.mark.parametrize("rows", [ROWS, LOCAL_ROWS], ids=["hub", "local"])
@pytest.mark.parametrize("name", NAMES)
def test_questions_of_our_own(name: str, data: Path, rows: list[dict[str, Any]]) -> None:
    write_rows(data, "arc/ARC-Challenge_test", rows)
    items, notes = load(name, data)
    assert_asks_as_olmes(name, items)
    assert [item.doc_id for item in items] == [0, 1, 2, 3]
    assert [item.answer for item in items] == ["two spoons ", "no spoon", "a knife", "a spoon"]
    assert [item.question for item in items] == ["What do you eat soup with?"] * 4
    assert notes == ["examples written by us instead of the published OLMES:ARC-Challenge (olmo2 fetch gets those)"]


def test_texts_are_set_off_by_their_likelihood_alone(data: Path) -> None:
    """The right text, the third, gains 3 nats by the question; the likeliest, the first, gains 1."""
    write_rows(data, "arc/ARC-Challenge_test", ROWS)
    item = load("arc_challenge:rc", data)[0][1]
    assert [option.prompt.text == "Answer:" for option in item.options] == [False] * 3 + [True] * 3
    scores = item.grade(likelihoods(-2.0, -9.0, -4.0, -3.0, -9.0, -7.0))
    assert (scores["acc_uncond"], scores["acc_raw"]) == (1, 0)
    scores = item.grade(likelihoods(-2.0, -9.0, -1.5, -4.0, -9.0, -3.0))
    assert (scores["acc_uncond"], scores["acc_raw"]) == (0, 1)


def test_letters(data: Path) -> None:
    write_rows(data, "arc/ARC-Challenge_test", ROWS)
    item = load("arc_challenge:mc", data)[0][2]
    assert [option.continuation for option in item.options] == [" A", " B", " C", " D", " E"]
    assert item.grade(likelihoods(-2.0, -2.0, -2.0, -2.0, -1.0))["acc_raw"] == 1
    assert item.grade(likelihoods(-1.0, -2.0, -2.0, -2.0, -2.0))["acc_raw"] == 0


def test_rows_of_another_form_are_named_in_one_sentence(data: Path) -> None:
    write_rows(data, "arc/ARC-Challenge_test", [{"choices": ["a", "b"]}])
    with pytest.raises(UsageError, match=r"^the data of arc_challenge:mc is not in its form .*; compare it with the"):
        load_task(find_task("arc_challenge:mc"), data)
