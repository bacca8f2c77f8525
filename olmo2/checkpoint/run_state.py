"""What a checkpoint says of its run, besides weights and moments: all that going on from it needs."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from olmo2.base.errors import RunError
from olmo2.base.files import read_json, write_json
from olmo2.optim.skip_step import StepHistory

STATE_FILE = "state.json"


class RunState(BaseModel):
    """A run after one of its steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    run: str = ""
    """drawn when the run began: two runs of the same recipe are told apart by it; "" = saved before there was one"""
    parent: str | None
    """the model that the stage started from"""
    base: str | None = None
    """fingerprint of that model where an adapter to it is trained; null = all weights are"""
    data: str
    """fingerprint of the training sequences"""
    step: int = Field(ge=1)
    """optimizer steps taken, left-out ones included"""
    tokens: int = Field(ge=1)
    """tokens seen in this stage, padding included"""
    history: StepHistory
    """what the steps to come are compared with"""
    ephemeral: bool = Field(default=False, strict=True)
    """whether a later checkpoint may replace this one"""


def write_run_state(folder: Path, state: RunState) -> None:
    """Write the state into a checkpoint's trainer folder."""
    write_json(folder / STATE_FILE, state.model_dump(mode="json"))


def read_run_state(folder: Path) -> RunState:
    """Read the state from a checkpoint's trainer folder. Raises RunError naming the file if it is damaged."""
    try:
        return RunState.model_validate(read_json(folder / STATE_FILE))
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise RunError(f"{folder / STATE_FILE} is damaged ({what}); go on from an earlier checkpoint") from None
