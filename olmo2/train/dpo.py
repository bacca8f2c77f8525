"""Preference tuning (DPO and its kin): make what was chosen likelier than what was rejected, and stay close.

The reference is the model that the stage starts from; its log-probabilities are computed once and kept in a file.
Source: arXiv 2501.00656, section 5; open-instruct's dpo_norm.
"""

from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from olmo2.checkpoint.folder import find_model_folder, open_model
from olmo2.data.preferences import Preferences, ResponseDataSettings
from olmo2.eval.model_under_test import hash_of
from olmo2.model.lora import LoraSettings
from olmo2.optim.schedule import LinearSchedule
from olmo2.parallel.device import choose_compute_dtype
from olmo2.parallel.ranks import Ranks
from olmo2.tokenizer.tokenizer import Tokenizer
from olmo2.train.assemble import Start, assemble, build_model
from olmo2.train.heldout_pairs import with_heldout_pairs
from olmo2.train.loop import stage_ranks, train
from olmo2.train.preference_objective import PreferenceLossSettings, require_whole_sequences
from olmo2.train.recipe import TrainRecipe
from olmo2.train.reference import reference_logprobs
from olmo2.train.resume import HELDOUT_PREFIX, REFERENCE_FILE


class DpoDataSettings(ResponseDataSettings):
    """Pairs to learn from, and what the reference model gives them."""

    reference_file: str | None = None
    """where the reference's log-probabilities are kept, for several runs if they share model and data; null = in the
    run folder"""


class DpoRecipe(TrainRecipe):
    """Everything that preference tuning needs to know."""

    load_path: str = Field(min_length=1)
    """model folder or hub name to start from, which is the reference, too; only its weights are used"""
    data: DpoDataSettings
    schedule: LinearSchedule = LinearSchedule()
    loss: PreferenceLossSettings = PreferenceLossSettings()
    lora: LoraSettings | None = None
    """train adapters beside the weights instead of the weights; null = all weights"""


def dpo(recipe: DpoRecipe) -> Path:
    """Tune the model and return its last checkpoint."""
    require_whole_sequences(recipe.parallel)
    objective = recipe.loss.objective()

    def start() -> Start:
        config, tokenizer, weights = open_model(find_model_folder(recipe.load_path))
        return Start(config, tokenizer, weights.items(), recipe.load_path)

    with stage_ranks(recipe) as ranks:
        prepare = with_reference(recipe, start, ranks) if recipe.loss.has_reference else lambda pairs, _: pairs
        heldout: list[Preferences] = []

        def sequences_of(tokenizer: Tokenizer) -> Preferences:
            if recipe.data.heldout_paths:
                heldout.append(prepare(recipe.data.heldout_pairs(tokenizer), HELDOUT_PREFIX))
            return prepare(recipe.data.pairs(tokenizer), "")

        job = assemble(recipe, start, sequences_of, ranks)
        return train(with_heldout_pairs(job, objective, heldout), objective)


def with_reference(
    recipe: DpoRecipe, start: Callable[[], Start], ranks: Ranks
) -> Callable[[Preferences, str], Preferences]:
    """Return a function that gives pairs the reference's log-probabilities, from a file if they are in one."""
    identity = {
        "model": hash_of(find_model_folder(recipe.load_path)) if ranks.is_main else "",
        "dtype": str(choose_compute_dtype(recipe.run.dtype, ranks.device)).removeprefix("torch."),
    }
    kept = Path(recipe.data.reference_file or Path(recipe.run.folder) / REFERENCE_FILE)

    def prepare(pairs: Preferences, prefix: str) -> Preferences:
        pairs.reference_logprobs = reference_logprobs(
            kept.with_name(prefix + kept.name),
            pairs,
            lambda: build_model(recipe, start(), ranks)[0],
            identity=identity,
            micro_batch_sequences=recipe.run.micro_batch_sequences,
            ranks=ranks,
        )
        return pairs

    return prepare
