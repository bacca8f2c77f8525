"""A run's state comes back equal, and damage is named."""

import json
from pathlib import Path

import pytest

from olmo2.base.errors import RunError
from olmo2.checkpoint.run_state import STATE_FILE, read_run_state, write_run_state
from tests.checkpoint.conftest import run_state


def test_state_comes_back_equal(tmp_path: Path) -> None:
    state = run_state(7, parent="runs/before", ephemeral=True, history={"losses": [1 / 3, 0.1], "grad_norms": [2e-9]})
    write_run_state(tmp_path, state)
    assert read_run_state(tmp_path) == state


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({}, "stage"),
        ([], "Input should be"),
        ({"history": {}}, r"history\.losses"),
        ({"history": {"losses": ["x"], "grad_norms": []}}, r"history\.losses\.0"),
        ({"step": 0}, "step"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_damage_is_named(tmp_path: Path, values: object, place: str) -> None:
    whole = run_state(7).model_dump(mode="json")
    damaged = whole | values if isinstance(values, dict) and values else values
    (tmp_path / STATE_FILE).write_text(json.dumps(damaged))
    with pytest.raises(RunError, match=rf"state\.json is damaged \({place}"):
        read_run_state(tmp_path)
