"""A trace holds the steps asked for and no others, and is what a trace viewer reads."""

import gzip
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from olmo2.base.errors import RunError
from olmo2.train.step_profiler import PROFILE_FOLDER, ProfileSettings, StepProfiler


def run(folder: Path, steps: range, settings: ProfileSettings | None, said: list[str] | None = None) -> None:
    """Take steps of a sum each, as a loop would."""
    lines: list[str] = [] if said is None else said
    with closing(StepProfiler(settings, folder, say=lines.append)) as profiler:
        for step in steps:
            with profiler.step(step):
                torch.ones(step).cumsum(0)


def events(path: Path) -> list[dict[str, Any]]:
    return json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / PROFILE_FOLDER).glob("*"))


def test_exactly_the_steps_asked_for_are_traced(tmp_path: Path) -> None:
    said: list[str] = []
    run(tmp_path, range(1, 10), ProfileSettings(first_step=4, num_steps=2), said)
    assert files(tmp_path) == ["steps-4-5.trace.json.gz", "steps-4-5.txt"]
    found = events(tmp_path / PROFILE_FOLDER / "steps-4-5.trace.json.gz")
    spans = {event["name"]: event for event in found if str(event.get("name")).startswith("step ")}
    assert sorted(spans) == ["step 4", "step 5"]
    sums = [event for event in found if event.get("name") == "aten::cumsum"]
    assert len(sums) == 2
    for span, event in zip((spans["step 4"], spans["step 5"]), sums, strict=True):
        assert span["ts"] <= event["ts"] and event["ts"] + event["dur"] <= span["ts"] + span["dur"]
    table = (tmp_path / PROFILE_FOLDER / "steps-4-5.txt").read_text()
    assert "Operators by their own time" in table and "aten::cumsum" in table
    assert said == [f"steps 4 to 5 are traced in {tmp_path}/profile/steps-4-5.txt and .trace.json.gz"]


def test_a_run_that_ends_amid_the_steps_leaves_what_it_took(tmp_path: Path) -> None:
    run(tmp_path, range(1, 6), ProfileSettings(first_step=5, num_steps=50))
    assert files(tmp_path) == ["steps-5-5.trace.json.gz", "steps-5-5.txt"]


def test_a_run_that_goes_on_amid_the_steps(tmp_path: Path) -> None:
    run(tmp_path, range(6, 10), ProfileSettings(first_step=5, num_steps=2))
    assert files(tmp_path) == ["steps-6-6.trace.json.gz", "steps-6-6.txt"]


@pytest.mark.parametrize("settings", [None, ProfileSettings(first_step=50)])
def test_nothing_is_written_unasked(tmp_path: Path, settings: ProfileSettings | None) -> None:
    run(tmp_path, range(1, 5), settings)
    assert not (tmp_path / PROFILE_FOLDER).exists()


def test_a_step_that_fails_is_not_hidden(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        closing(StepProfiler(ProfileSettings(first_step=1), tmp_path)) as profiler,
        profiler.step(1),
    ):
        raise ZeroDivisionError
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / PROFILE_FOLDER).write_text("a file")
    with pytest.raises(RunError, match=r"cannot write .*steps-1-1\.trace\.json\.gz.*choose another folder"):
        run(tmp_path, range(1, 2), ProfileSettings(first_step=1))


@pytest.mark.parametrize("values", [{}, {"first_step": 0}, {"first_step": 1, "num_steps": 0}])
def test_settings_that_mean_nothing(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ProfileSettings.model_validate(values)
