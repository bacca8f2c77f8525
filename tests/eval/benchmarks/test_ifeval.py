"""IFEval: prompts as OLMES renders them, and what following or not following is worth."""

from pathlib import Path
from typing import Any

import pytest

from olmo2.eval.results import ItemScores
from olmo2.eval.scoring import estimates
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

ROWS: list[dict[str, Any]] = [  # the hub's rows have all arguments of all instructions, most of them null
    {
        "key": 7,
        "prompt": "Name a fruit in quotation marks.",
        "instruction_id_list": ["startend:quotation"],
        "kwargs": [{"num_words": None, "relation": None}],
    },
    {
        "key": 9,
        "prompt": "Write about rivers without a comma, with the word bridge.\n",
        "instruction_id_list": ["punctuation:no_comma", "keywords:existence"],
        "kwargs": [{"keywords": None}, {"keywords": ["bridge"], "num_words": None}],
    },
]
LOCAL_ROWS = [
    {**row, "kwargs": [{name: value for name, value in each.items() if value} for each in row["kwargs"]]}
    for row in ROWS
]


def test_real_prompts_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("ifeval", real)
    assert hashes(find_task("ifeval"), items, [None] * len(items)) == FROZEN["real"]["ifeval"]
    assert notes == []
    assert sum(len(item.answer.split(", ")) for item in items) == 834


@pytest.mark.parametrize("rows", [ROWS, LOCAL_ROWS], ids=["hub", "local"])
def test_prompts_of_our_own(data: Path, rows: list[dict[str, Any]]) -> None:
    write_rows(data, "ifeval/input_data", rows)
    items, notes = load("ifeval", data)
    assert_asks_as_olmes("ifeval", items)
    assert notes == [] and [item.doc_id for item in items] == [0, 1]
    quoted = items[0].grade('"A plum."')
    assert quoted["prompt_level_strict_acc"] == quoted["prompt_level_loose_acc"] == 1
    led_in = items[0].grade('Sure:\n"A plum."')  # without its first line it would do
    assert (led_in["prompt_level_strict_acc"], led_in["prompt_level_loose_acc"]) == (0, 1)
    half = items[1].grade("Over the river, a bridge.")
    assert half == {
        "prompt_level_loose_acc": 0,
        "prompt_level_strict_acc": 0,
        "inst_level_loose_acc": 0.5,
        "inst_level_strict_acc": 0.5,
        "num_instructions": 2,
    }
    assert items[1].grade("")["inst_level_loose_acc"] == 0
    assert items[1].grade("A bridge over the river.")["prompt_level_strict_acc"] == 1


def test_the_instruction_level_counts_instructions(data: Path) -> None:
    """One of one and one of two are two of three instructions, and one of two prompts."""
    write_rows(data, "ifeval/input_data", ROWS)
    items, _ = load("ifeval", data)
    scores = [
        ItemScores(item.doc_id, "", dict(item.grade(response)))
        for item, response in zip(items, ('"A plum."', "Over the river, a bridge."), strict=True)
    ]
    found = estimates(find_task("ifeval"), scores)
    assert found["inst_level_strict_acc"].value == pytest.approx(2 / 3)
    assert found["prompt_level_loose_acc"].value == 0.5
