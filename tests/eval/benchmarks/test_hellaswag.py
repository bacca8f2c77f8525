"""HellaSwag: prompts as OLMES renders and cleans them, rows in both forms, and what likelihoods are worth."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from olmo2.eval.sources import EXAMPLES_FILE
from olmo2.eval.task import Likelihood
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, likelihoods, load, write_rows

ROWS: list[dict[str, Any]] = [
    {
        "ind": 4,
        "activity_label": "Home and Garden",
        "ctx_a": "[header] How to water a fern [title] Take  a can. [step] Fill it [substeps] to the rim.",
        "ctx_b": "",
        "endings": [" [title] Pour. [step] Wait", "Eat the fern.", "Run [away", "Take a  bath.  "],
        "label": "0",
    },
    {
        "ind": 24,
        "activity_label": "Skating",
        "ctx_a": "A girl ties her skates.",
        "ctx_b": "the Girl",
        "endings": ["falls.", "glides over the ice.", "sells them.", "melts."],
        "label": "1",
    },
]
LOCAL_ROWS = [  # the same as OLMES has cleaned them
    {
        "query": "Home and Garden: How to water a fern. Take a can. Fill it to the rim.",
        "choices": [" Pour. Wait", "Eat the fern.", "Run [away", "Take a bath."],
        "gold": 0,
    },
    {"query": "Skating: A girl ties her skates. The girl", "choices": ROWS[1]["endings"], "gold": 1},
]
NAMES = ("hellaswag:rc", "hellaswag:mc")
NOTE = "scenes of a copy without the spaces that stand at the end of many of the published ones"


def test_real_scenes_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("hellaswag:rc", real)
    assert hashes(find_task("hellaswag:rc"), items) == FROZEN["real"]["hellaswag:rc"]
    assert notes == []
    assert load("hellaswag:mc", real)[1] == [NOTE]


@pytest.mark.parametrize("name", NAMES)
def test_real_rows_of_the_hub_are_asked_as_olmes_asks_them(name: str, real: Path, shared: Path) -> None:
    """The rows at hand are those of the list of examples."""
    examples = json.loads((shared / "data" / EXAMPLES_FILE).read_text(encoding="utf-8"))
    write_rows(real, "hellaswag/validation", examples["OLMES:hellaswag"])
    items, notes = load(name, real)
    assert hashes(find_task(name), items) == FROZEN["real"][f"{name} examples"]
    assert notes == []


@pytest.mark.parametrize("name", NAMES)
def test_scenes_of_our_own(name: str, data: Path) -> None:
    write_rows(data, "hellaswag/validation", ROWS)
    items, notes = load(name, data)
    assert_asks_as_olmes(name, items)
    assert [item.doc_id for item in items] == [0, 1]
    assert [(item.question, item.answer) for item in items] == [
        (row["query"], row["choices"][row["gold"]]) for row in LOCAL_ROWS
    ]
    assert notes == ["examples written by us instead of the published OLMES:hellaswag (olmo2 fetch gets those)"]


def test_scenes_of_our_own_that_olmes_has_cleaned(data: Path) -> None:
    write_rows(data, "hellaswag/val1000_olmes_docs", LOCAL_ROWS)
    items, _ = load("hellaswag:rc", data)
    assert_asks_as_olmes("hellaswag:rc", items)
    items, notes = load("hellaswag:mc", data)
    assert NOTE in notes
    text = items[1].options[0].prompt.text
    assert text.endswith(f"\n\n{FROZEN['invented']['hellaswag:mc'][1][0][0][0]}")  # this one had no space to lose


def test_a_thousand_are_drawn(data: Path) -> None:
    rows = [{"query": f"Scene {number}", "choices": ["a", "b"], "gold": 0} for number in range(1200)]
    write_rows(data, "hellaswag/validation", rows)
    items, _ = load("hellaswag:rc", data)
    drawn = random.Random(1234).sample(range(1200), 1000)
    assert [item.question for item in items] == [f"Scene {number}" for number in drawn]
    assert [item.doc_id for item in items] == list(range(1000))


def test_endings_count_by_their_characters(data: Path) -> None:
    """Two of 8 and 20 characters: the longer one, which is right, is less likely but likelier per character."""
    write_rows(data, "hellaswag/validation", ROWS)
    item = load("hellaswag:rc", data)[0][1]
    measured = [
        Likelihood(logprob, 4, len(option.continuation), len(option.continuation))
        for option, logprob in zip(item.options, [-8.0, -10.0, *[-30.0] * 2, *[-5.0] * 4], strict=True)
    ]
    scores = item.grade(measured)
    assert (scores["acc_per_char"], scores["acc_raw"], scores["acc_per_token"]) == (1, 0, 0)


def test_letters(data: Path) -> None:
    write_rows(data, "hellaswag/validation", ROWS)
    item = load("hellaswag:mc", data)[0][1]
    assert item.grade(likelihoods(-2.0, -1.0, -2.0, -2.0))["acc_raw"] == 1
    assert item.grade(likelihoods(-2.0, -3.0, -2.0, -2.0))["acc_raw"] == 0
