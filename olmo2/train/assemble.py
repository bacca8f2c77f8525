"""From a recipe to everything the loop needs: model, optimizer, batches, evaluation, and where a run goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor

from olmo2.base.config import Count, Recipe, Settings, read_yaml, write_recipe
from olmo2.base.errors import UsageError
from olmo2.base.files import PARTIAL_PREFIX
from olmo2.base.metrics import TrackSettings
from olmo2.checkpoint.folder import load_model
from olmo2.checkpoint.keep import KeepSettings, latest_checkpoint
from olmo2.checkpoint.load import load_trainer_state
from olmo2.checkpoint.names import checkpoint_name
from olmo2.data.batch import Sequences
from olmo2.data.loader import Loader
from olmo2.data.token_files import open_tokens
from olmo2.data.windows import Windows
from olmo2.eval.perplexity import heldout_loss
from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import OptimSettings, build_optimizer, restore_optimizer
from olmo2.optim.schedule import ScheduleSettings
from olmo2.optim.skip_step import StepGuard
from olmo2.parallel.allocator import tune_allocator
from olmo2.parallel.compile import CompileChoice, compile_blocks
from olmo2.parallel.device import choose_compute_dtype, choose_device
from olmo2.tokenizer.tokenizer import Tokenizer

Evaluate = Callable[[Transformer], dict[str, float]]
RECIPE_FILE = "recipe.yaml"


class LossSettings(Settings):
    """The loss of a stage."""

    z_loss_weight: float = Field(default=1e-4, ge=0)
    """weight of logsumexp² beside the cross-entropy (published files of 1B to 13B say 1e-5; 1e-4 is what ran)"""


class HeldOutSettings(Settings):
    """Text that is never trained on, to watch the loss on it."""

    paths: list[str] = Field(min_length=1)
    """token folders or files"""
    max_tokens: Count = Field(default=65_536, ge=1)
    """tokens to look at in each evaluation, spread evenly over the files"""


class RunSettings(Settings):
    """Length, batch and folder of a run."""

    folder: str
    """where the run keeps its recipe, metrics and checkpoints"""
    stage: str = Field(pattern=r"^[a-z0-9]+(-[a-z]+[0-9]+)?$")
    """first part of the checkpoints' names, such as stage1 or stage2-ingredient1"""
    total_tokens: Count | None = Field(default=None, ge=1)
    """length of the stage in tokens, padding included; set this or epochs"""
    epochs: float | None = Field(default=None, gt=0)
    """length of the stage in passes over the data"""
    global_batch_tokens: Count = Field(ge=1)
    """tokens of one optimizer step, over all devices"""
    micro_batch_sequences: int = Field(default=8, ge=1)
    """sequences that go through the model at a time; changes memory and speed, not the result"""
    seed: int = Field(default=6198, ge=0)
    """of initial weights and data order"""
    device: str = "auto"
    """auto, cuda, mps, xpu or cpu"""
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    """of activations and matrix products; weights and optimizer stay float32"""
    compile: CompileChoice = "auto"
    """torch.compile for the blocks: true, false, or auto = where a C++ compiler is at hand"""
    evaluate_every_steps: int | None = Field(default=None, ge=1)
    """how often to measure held-out loss; null = only at the end"""
    log_every_steps: int = Field(default=10, ge=1)
    """how often to write metrics"""

    @model_validator(mode="after")
    def has_one_length(self) -> "RunSettings":
        """Refuse a run without a length, or with two."""
        if (self.total_tokens is None) == (self.epochs is None):
            raise ValueError("set either total_tokens or epochs")
        return self


class TrainRecipe(Recipe):
    """What every training stage has in common."""

    run: RunSettings
    optim: OptimSettings
    schedule: ScheduleSettings = ScheduleSettings()
    loss: LossSettings = LossSettings()
    keep: KeepSettings = KeepSettings()
    heldout: HeldOutSettings | None = None
    track: TrackSettings = TrackSettings()
    resume: bool = False
    """go on from the newest complete checkpoint of run.folder"""


@dataclass
class Start:
    """Where a stage begins: weights, tokenizer and, when it carries on from another stage, optimizer moments."""

    model: Transformer
    tokenizer: Tokenizer
    parent: str | None = None  # the checkpoint it came from
    optimizer_tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass
class Job:
    """A stage that is ready to run."""

    recipe: TrainRecipe
    start: Start
    optimizer: Any
    loader: Loader
    guard: StepGuard
    evaluate: Evaluate
    first_step: int
    total_steps: int
    state: dict[str, Any]  # what every checkpoint of this run says of it, besides its position

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.recipe.run.folder)

    @property
    def total_tokens(self) -> int:
        """Length of the stage in tokens, padding included."""
        return self.total_steps * self.recipe.run.global_batch_tokens

    def checkpoint_folder(self, step: int) -> Path:
        """Where the checkpoint of a step is saved."""
        run = self.recipe.run
        tokens = step * run.global_batch_tokens
        return self.folder / checkpoint_name(run.stage, step, tokens, total_tokens=self.total_tokens)


def assemble(recipe: TrainRecipe, start: Callable[[], Start], sequences_of: Callable[[Tokenizer], Sequences]) -> Job:
    """Build a job: from `start` for a new run, from the newest complete checkpoint for one that is resumed.

    Raises UsageError if run.folder holds a run that is not resumed, or if the data are no longer the same.
    """
    run = recipe.run
    checkpoint = run_to_resume(recipe)
    device = choose_device(run.device)
    state: dict[str, Any] = {}
    if checkpoint is None:
        begin = start()
    else:
        model, tokenizer = load_model(checkpoint)
        tensors, state = load_trainer_state(checkpoint)
        begin = Start(model, tokenizer, state["parent"], tensors)
    sequences = sequences_of(begin.tokenizer)
    if state and state["data"] != sequences.fingerprint():
        raise UsageError(f"the training data are not those that {checkpoint} was trained on; start a new run.folder")

    if device.type == "cpu":
        tune_allocator()
    model = begin.model.to(device)
    model.model.compute_dtype = choose_compute_dtype(run.dtype, device)
    why_not_compiled = compile_blocks(model, run.compile, device)
    if why_not_compiled:
        print(why_not_compiled)
    optimizer = build_optimizer(model, recipe.optim)
    restore_optimizer(model, optimizer, begin.optimizer_tensors)
    guard = StepGuard(recipe.optim.skip_step)
    if state:
        guard.restore(state["guard"])

    if run.global_batch_tokens % sequences.seq_len:
        raise UsageError(
            f"run.global_batch_tokens {run.global_batch_tokens} must be a multiple of seq_len {sequences.seq_len}"
        )
    loader = Loader(
        sequences,
        global_batch_sequences=run.global_batch_tokens // sequences.seq_len,
        seed=run.seed,
        order=Path(run.folder) / "order",
    )
    if run.total_tokens is not None:
        total_steps = -(-run.total_tokens // run.global_batch_tokens)
    else:
        total_steps = max(1, round((run.epochs or 0) * loader.steps_per_epoch))
    write_recipe(recipe, Path(run.folder) / RECIPE_FILE)
    return Job(
        recipe=recipe,
        start=begin,
        optimizer=optimizer,
        loader=loader,
        guard=guard,
        evaluate=heldout_evaluation(recipe, begin.tokenizer, sequences.seq_len),
        first_step=state.get("step", 0) + 1,
        total_steps=total_steps,
        state={"stage": run.stage, "parent": begin.parent, "data": sequences.fingerprint()},
    )


def run_to_resume(recipe: TrainRecipe) -> Path | None:
    """Return the checkpoint to go on from; None for a new run or one that was stopped before its first save."""
    folder = Path(recipe.run.folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"run.folder: {folder} is a file; choose another name")
    leftovers = {RECIPE_FILE, "order"}
    if not folder.exists() or all(path.name.startswith(PARTIAL_PREFIX) for path in folder.iterdir()):
        return None
    if not recipe.resume:
        raise UsageError(
            f"run.folder: {folder} already holds a run; add --resume to go on with it, or choose another folder"
        )
    if not (folder / RECIPE_FILE).exists():
        raise UsageError(f"run.folder: {folder} holds other files and no run; choose another folder")
    print_changes(folder / RECIPE_FILE, recipe)
    checkpoint = latest_checkpoint(folder, recipe.run.stage)
    if checkpoint is None and any(path.name not in leftovers for path in folder.glob("*-step*")):
        raise UsageError(
            f"run.folder: {folder} has checkpoints, but none of run.stage {recipe.run.stage!r} is complete"
        )
    return checkpoint


def print_changes(stored: Path, recipe: TrainRecipe) -> None:
    """Say which settings differ from those the run was started with."""
    before, after = flat(read_yaml(stored)), flat(recipe.model_dump(mode="json"))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name) and name != "resume":
            print(f"changed since the run began: {name} was {before.get(name)}, is {after.get(name)}")


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def heldout_evaluation(recipe: TrainRecipe, tokenizer: Tokenizer, seq_len: int) -> Evaluate:
    """Return the function that measures held-out loss and bits per byte, or nothing if no text is held out."""
    settings = recipe.heldout
    if settings is None:
        return lambda model: {}
    windows = Windows(open_tokens(settings.paths, None), seq_len=seq_len, vocab_size=tokenizer.vocab_size)
    token_bytes = tokenizer.token_bytes()

    def evaluate(model: Transformer) -> dict[str, float]:
        held_out = heldout_loss(
            model,
            windows,
            token_bytes,
            batch_sequences=recipe.run.micro_batch_sequences,
            max_tokens=settings.max_tokens,
        )
        return {"heldout_loss_nats": held_out.loss_nats, "heldout_bits_per_byte": held_out.bits_per_byte}

    return evaluate
