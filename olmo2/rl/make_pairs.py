"""Make a preference mix: models answer prompts, answers are rated, pairs of them are chosen and written.

    olmo2 make-pairs recipe.yaml [--setting=value ...]

prompts -> responses -> ratings -> pairs -> filters -> a JSON-lines file in the columns of the published mixes. With
--kind=sft the best answer to every prompt is written instead (rejection sampling). Everything that is answered is kept
in a work folder and never asked again: stopped, it goes on when the command is repeated.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from olmo2.base.config import Count, Recipe
from olmo2.base.errors import RunError
from olmo2.base.files import atomic_file, exclusive_folder
from olmo2.rl.ask_pool import REFERENCE, Tally, ask_pool, groups_of, plan
from olmo2.rl.candidate_scores import Reward, require_labels, reward_scores, verifier_scores
from olmo2.rl.kept_responses import file_name
from olmo2.rl.pair_choice import ChoiceSettings
from olmo2.rl.pair_filters import Filters, FilterSettings
from olmo2.rl.pair_rows import Origin, Row
from olmo2.rl.pair_selection import Selection, select
from olmo2.rl.pair_summary import (
    ModelUse,
    Summary,
    mean,
    require_own_output,
    settings_that_matter,
    summary_lines,
    write_summary,
)
from olmo2.rl.pool_model import PoolModel, open_pool_model
from olmo2.rl.prompt_pool import PoolPrompt, read_pool

RIGHT = 1.0  # what a verifier gives a right answer


class MakePairsRecipe(Recipe):
    """Everything that `make-pairs` needs to know."""

    prompts: list[str] = Field(min_length=1)
    """JSON-lines or Parquet files, folders or globs of rows with "messages" or "prompt" """
    output: str
    """JSON-lines file to write"""
    work: str | None = None
    """folder in which answers and ratings are kept; null = OUTPUT.work"""
    models: list[PoolModel] = Field(min_length=1)
    """the pool of models that answer"""
    responses_per_prompt: int | None = Field(default=None, ge=1)
    """models that answer each prompt: the pinned ones and others, drawn at random; null = all models"""
    with_reference: bool = False
    """let the answer that a row holds, its trailing assistant turn, compete"""
    scores: Literal["verifier"] = "verifier"
    """verifier: rows bring "ground_truth" and "dataset", the verifier's name"""
    kind: Literal["pairs", "sft"] = "pairs"
    """pairs: chosen and rejected; sft: the best answer to each prompt, as messages"""
    choice: ChoiceSettings = ChoiceSettings()
    filters: FilterSettings = FilterSettings()
    most_failed: float = Field(default=0.01, ge=0, le=1)
    """share of requests to a model that may fail; more, and nothing is written until the command is repeated"""
    limit: Count | None = Field(default=None, ge=1)
    """prompts at most, the first ones"""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """of all draws: models, answers and pairs"""

    @model_validator(mode="after")
    def check_pool(self) -> "MakePairsRecipe":
        """Raise ValueError for a pool that cannot answer as it is to."""
        names = Counter(file_name(model.shown_name).lower() for model in self.models)
        twice = next(
            (model.shown_name for model in self.models if names[file_name(model.shown_name).lower()] > 1), None
        )
        if twice is not None:
            raise ValueError(f"two models are called {twice}: give each a name of its own with models.name")
        if any(model.shown_name == REFERENCE for model in self.models):
            raise ValueError(f"no model may be called {REFERENCE}: that is what the answers of the data are called")
        if self.responses_per_prompt is None:
            per_prompt = sum(model.samples for model in self.models)
            if any(model.pinned for model in self.models):
                raise ValueError("models.pinned is about a draw: set responses_per_prompt")
        else:
            per_prompt, num_pinned = self.responses_per_prompt, sum(model.pinned for model in self.models)
            if any(model.samples > 1 for model in self.models):
                raise ValueError(
                    "models.samples is for pools of which all models answer: leave responses_per_prompt out"
                )
            if not num_pinned <= per_prompt <= len(self.models):
                raise ValueError(
                    f"responses_per_prompt is {per_prompt}, but {len(self.models)} models can answer and {num_pinned} "
                    "are pinned"
                )
        if self.kind == "pairs" and per_prompt + self.with_reference < 2:
            raise ValueError(
                "a pair needs two responses to a prompt, and there is one: add a model, raise its samples, or set "
                "with_reference"
            )
        return self

    @property
    def unit(self) -> str:
        """What a row is called."""
        return "pairs" if self.kind == "pairs" else "conversations"

    @property
    def work_folder(self) -> Path:
        """Where answers and ratings are kept."""
        return Path(self.work or f"{self.output}.work").expanduser()


def make_pairs(recipe: MakePairsRecipe, *, reward: Reward | None = None) -> Summary:
    """Ask, rate, choose, filter and write; print and return a summary.

    With a `reward`, a function of conversations, candidates are rated by it instead of by `recipe.scores`.
    Raises UsageError for settings, data or a work folder that do not fit, RunError if a model does not answer or if no
    row is left.
    """
    with exclusive_folder(recipe.work_folder):
        return make_pairs_in(recipe.work_folder, recipe, reward)


def make_pairs_in(folder: Path, recipe: MakePairsRecipe, reward: Reward | None) -> Summary:
    """Do all that needs the work folder for itself."""
    output, pool = Path(recipe.output).expanduser(), read_pool(recipe.prompts)
    made_with = {**settings_that_matter(recipe.model_dump(mode="json")), "prompts": list(pool.file_hashes.values())}
    require_own_output(output, folder, made_with)
    filters, dropped = Filters(recipe.filters), Counter({"prompts that stood in a row before": pool.num_duplicates})
    prompts = filters.kept_prompts(pool.prompts[: recipe.limit], dropped)
    if reward is None:
        require_labels(prompts)
    models = [open_pool_model(each) for each in recipe.models]
    asks = plan(prompts, recipe.models, recipe.responses_per_prompt, recipe.seed)
    files, tallies = ask_pool(models, asks, folder, seed=recipe.seed, most_failed=recipe.most_failed)
    groups = groups_of(prompts, asks, files, with_reference=recipe.with_reference)
    scores = verifier_scores(groups) if reward is None else reward_scores(reward, groups)
    origin = Origin(
        models={model.name: model.identity for model in models},
        seed=recipe.seed,
        scores=recipe.scores if reward is None else "reward",
        judge=None,
        judge_prompts=None,
        file_hashes=pool.file_hashes,
    )
    choice = recipe.choice
    if recipe.kind == "sft" and origin.scores == "verifier" and choice.min_chosen_rating is None:
        choice = choice.model_copy(update={"min_chosen_rating": RIGHT})
    selection = select(groups, scores, filters, choice, origin, is_sft=recipe.kind == "sft")
    selection.dropped = dropped + selection.dropped
    summary = summed_up(recipe, made_with, prompts, tallies, selection)
    print("\n".join(summary_lines(summary, recipe.unit)))
    if not selection.rows:
        (reason, _), *_ = selection.dropped.most_common(1) or [("every prompt", 0)]
        raise RunError(f"no row is left to write: most were left out as {reason}")
    write_summary(summary, folder)
    print(write_rows(selection.rows, output))
    return summary


def summed_up(
    recipe: MakePairsRecipe,
    made_with: Mapping[str, Any],
    prompts: Sequence[PoolPrompt],
    tallies: Mapping[str, Tally],
    selection: Selection,
) -> Summary:
    """Return what came of it, with costs."""
    for model in recipe.models:
        tally = tallies[model.shown_name]
        tally.cost = model.price.of(tally.prompt_tokens, tally.completion_tokens) if model.price else 0.0
    uses = {name: ModelUse.of(name, tally, selection) for name, tally in tallies.items()}
    return Summary(
        made_with=made_with,
        num_rows=len(selection.rows),
        num_prompts=len(prompts),
        models=uses,
        judge={},
        cost=sum(use.cost for use in uses.values()),
        dropped=dict(selection.dropped),
        num_equal=selection.num_equal,
        mean_chosen=mean(selection.chosen_sum, selection.rows),
        mean_rejected=mean(selection.rejected_sum, selection.rows),
    )


def write_rows(rows: Sequence[Row], output: Path) -> str:
    """Write all rows, or leave the file alone if it holds the same; return in words what was done."""
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if output.exists() and output.read_bytes() == data.encode():
        return f"{output} holds these rows already"
    with atomic_file(output) as file:
        file.write(data)
    return f"{output} written"
