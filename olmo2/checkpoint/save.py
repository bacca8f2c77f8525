"""Saving the whole state of a run as one folder that is either complete or not there."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import write_model_folder
from olmo2.checkpoint.keep import TRAINER_FOLDER, remove_leftovers, set_torn_aside, write_contents
from olmo2.checkpoint.load import OPTIMIZER_FILE
from olmo2.checkpoint.run_state import RunState, write_run_state
from olmo2.checkpoint.tensors import write_tensors
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer

RECIPE_FILE = "recipe.yaml"


def save_checkpoint(
    folder: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    *,
    optimizer_tensors: Mapping[str, Tensor],
    state: RunState,
    recipe_text: str,
) -> None:
    """Save model, optimizer, state and recipe at `folder`; weights are stored in the dtype that they have.

    What an earlier process that was killed left unfinished in the same run is removed. Raises RunError if the disk is
    full, leaving no trace of the attempt, and UsageError if a complete checkpoint of that name exists.
    """
    remove_leftovers(folder.parent)
    set_torn_aside(folder)
    with atomic_folder(folder) as partial:
        write_model_folder(partial, model.state_dict(), model.config, tokenizer, dtype=model.lm_head.weight.dtype)
        trainer = partial / TRAINER_FOLDER
        trainer.mkdir()
        write_tensors(trainer / OPTIMIZER_FILE, optimizer_tensors)
        write_run_state(trainer, state)
        (partial / RECIPE_FILE).write_text(recipe_text, encoding="utf-8")
        write_contents(partial)
