"""From a recipe to everything the loop needs: model, optimizer, batches, evaluation, and where a run goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor

from olmo2.base.config import Count, Recipe, Settings, read_yaml
from olmo2.base.errors import RunError, UsageError
from olmo2.base.files import LOCK_FILE, PARTIAL_PREFIX
from olmo2.base.metrics import TrackSettings
from olmo2.checkpoint.folder import load_model
from olmo2.checkpoint.keep import KeepSettings, damage, latest_checkpoint
from olmo2.checkpoint.load import load_trainer_state
from olmo2.checkpoint.names import checkpoint_name, parse_checkpoint_name
from olmo2.checkpoint.run_state import RunState
from olmo2.checkpoint.save import RECIPE_FILE
from olmo2.data.batch import Sequences
from olmo2.data.loader import Loader
from olmo2.data.token_files import open_tokens, require_tokenizer
from olmo2.data.windows import Windows
from olmo2.eval.perplexity import heldout_batches, heldout_loss
from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import OptimSettings, build_optimizer, restore_optimizer
from olmo2.optim.schedule import ScheduleSettings
from olmo2.optim.skip_step import StepGuard
from olmo2.parallel.allocator import tune_allocator
from olmo2.parallel.compile import CompileChoice, compile_blocks
from olmo2.parallel.device import choose_compute_dtype, choose_device
from olmo2.parallel.mesh import ParallelSettings
from olmo2.tokenizer.tokenizer import Tokenizer

Evaluate = Callable[[Transformer], dict[str, float]]
ORDER_FOLDER = "order"
# What decides the weights and data of a run, and so must stay when it goes on. That the data themselves are the
# same is told by their fingerprint: files may move.
FIXED_SETTINGS = ("verb", "model", "run.stage", "run.seed", "run.global_batch_tokens", "data.seq_len")


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
    dtype: str | None = None
    """of raw token files that carry no description, such as uint32; null = as described"""


class RunSettings(Settings):
    """Length, batch and folder of a run."""

    folder: str
    """where the run keeps its recipe, metrics and checkpoints"""
    stage: str = Field(pattern=r"^[a-z0-9]+(-[a-z]+[0-9]+)?$")
    """first part of the checkpoints' names, such as stage1 or stage2-ingredient1"""
    total_tokens: Count | None = Field(default=None, ge=1)
    """length of the stage in tokens, padding included; set this, total_steps or epochs"""
    total_steps: int | None = Field(default=None, ge=1)
    """length of the stage in optimizer steps"""
    epochs: float | None = Field(default=None, gt=0)
    """length of the stage in passes over the data"""
    global_batch_tokens: Count = Field(ge=1)
    """tokens of one optimizer step, over all devices"""
    micro_batch_sequences: int = Field(default=8, ge=1)
    """sequences that go through the model at a time; changes memory and speed, not the result"""
    seed: int = Field(default=6198, ge=0, lt=2**63)
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
        if sum(length is not None for length in (self.total_tokens, self.total_steps, self.epochs)) != 1:
            raise ValueError("set exactly one of total_tokens, total_steps and epochs")
        return self

    def num_steps(self, steps_per_epoch: int | None) -> int | None:
        """Return the optimizer steps of the stage; None if they depend on data that have not been counted."""
        if self.total_steps is not None:
            return self.total_steps
        if self.total_tokens is not None:
            return -(-self.total_tokens // self.global_batch_tokens)
        assert self.epochs is not None
        return None if steps_per_epoch is None else max(1, round(self.epochs * steps_per_epoch))


class TrainRecipe(Recipe):
    """What every training stage has in common."""

    run: RunSettings
    optim: OptimSettings
    schedule: ScheduleSettings = ScheduleSettings()
    loss: LossSettings = LossSettings()
    parallel: ParallelSettings = ParallelSettings()
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
    goes_on: RunState | None = None  # the parent's state, if its steps, data position and schedule are taken up too


@dataclass
class Job:
    """A stage that is ready to run."""

    recipe: TrainRecipe
    start: Start
    optimizer: Any
    loader: Loader
    guard: StepGuard
    evaluate: Evaluate
    total_steps: int
    resumed: tuple[Path, RunState] | None  # the checkpoint that the run goes on from

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.recipe.run.folder)

    @property
    def first_step(self) -> int:
        """The step to take next."""
        state = self.start.goes_on if self.resumed is None else self.resumed[1]
        return 1 if state is None else state.step + 1

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

    Nothing is written. Raises UsageError if run.folder holds a run that is not resumed, if
    the data are no longer the same, or if settings do not fit each other.
    """
    run = recipe.run
    checkpoint = run_to_resume(recipe)
    device = choose_device(run.device)
    resumed = None
    if checkpoint is None:
        begin = start()
    else:
        model, tokenizer = load_model(checkpoint)
        tensors, state = load_trainer_state(checkpoint)
        resumed = checkpoint, state
        begin = Start(model, tokenizer, state.parent, tensors)
    sequences = sequences_of(begin.tokenizer)
    if resumed and resumed[1].data != sequences.fingerprint():
        raise UsageError(f"the training data are not those that {checkpoint} was trained on; start a new run.folder")
    loader = Loader(
        sequences,
        global_batch_sequences=num_sequences(recipe, sequences.seq_len, begin.model.config.max_position_embeddings),
        seed=run.seed,
        order=Path(run.folder) / ORDER_FOLDER,
    )
    total_steps = run.num_steps(loader.steps_per_epoch)
    assert total_steps is not None
    if begin.goes_on:
        check_continuation(recipe, begin, sequences, total_steps)

    if device.type == "cpu":
        tune_allocator()
    model = begin.model.to(device)
    model.model.compute_dtype = choose_compute_dtype(run.dtype, device)
    about_compilation = compile_blocks(model, run.compile, device)
    if about_compilation and (resumed is None or resumed[1].step < total_steps):
        print(about_compilation)
    optimizer = build_optimizer(model, recipe.optim)
    restore_optimizer(model, optimizer, begin.optimizer_tensors)
    guard = StepGuard(recipe.optim.skip_step)
    if last := resumed[1] if resumed else begin.goes_on:
        guard.restore(last.history)
    evaluate = heldout_evaluation(recipe, begin.tokenizer, sequences.seq_len)
    return Job(recipe, begin, optimizer, loader, guard, evaluate, total_steps, resumed)


def num_sequences(recipe: TrainRecipe, seq_len: int, context: int) -> int:
    """Return the sequences of a global batch; UsageError if they are no whole number, or longer than the context."""
    if seq_len > context:
        raise UsageError(
            f"data.seq_len {seq_len} is longer than the {context} tokens of the model's max_position_embeddings; "
            "lower it, or raise model.max_position_embeddings when training from random weights"
        )
    batch_tokens = recipe.run.global_batch_tokens
    if batch_tokens % seq_len:
        raise UsageError(f"run.global_batch_tokens {batch_tokens} must be a multiple of seq_len {seq_len}")
    return batch_tokens // seq_len


def check_continuation(recipe: TrainRecipe, begin: Start, sequences: Sequences, total_steps: int) -> None:
    """Raise UsageError unless the parent's counters mean the same in this run and leave steps to take."""
    state, run = begin.goes_on, recipe.run
    assert state is not None
    if state.tokens != state.step * run.global_batch_tokens:
        raise UsageError(
            f"{begin.parent} saw {state.tokens:,} tokens in {state.step:,} steps, so a run that goes on from it needs "
            f"run.global_batch_tokens {state.tokens // state.step}, not {run.global_batch_tokens}; set it, or count "
            "from zero with --reset_trainer_state"
        )
    if state.step >= total_steps:
        raise UsageError(
            f"{begin.parent} is at step {state.step:,} and the run ends at step {total_steps:,}, so nothing is left to "
            "do; lengthen the run, or count from zero with --reset_trainer_state"
        )
    if state.data != sequences.fingerprint():
        print(f"the data are not those of {begin.parent}: step {state.step + 1:,} reads what is its share of the new")


def run_to_resume(recipe: TrainRecipe) -> Path | None:
    """Return the checkpoint to go on from; None for a new run or one that was stopped before its first save."""
    folder = Path(recipe.run.folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"run.folder: {folder} is a file; choose another name")
    if is_vacant(folder):
        return None
    if not recipe.resume:
        raise UsageError(
            f"run.folder: {folder} already holds a run; add --resume to go on with it, or choose another folder"
        )
    names = {path.name for path in folder.iterdir()}
    if RECIPE_FILE not in names:
        raise UsageError(f"run.folder: {folder} holds other files and no run; choose another folder")
    compare_recipes(folder / RECIPE_FILE, recipe)
    checkpoint = latest_checkpoint(folder, recipe.run.stage)
    saved = sorted(name for name in names if parse_checkpoint_name(name))
    if checkpoint is None and saved:
        raise RunError(
            f"{folder / saved[-1]} is torn ({damage(folder / saved[-1])}) and no other checkpoint of the run is "
            "complete; restore it, or start anew in another run.folder"
        )
    return checkpoint


def is_vacant(folder: Path) -> bool:
    """Tell whether a run may begin in a folder: nothing is there but what a killed process leaves behind."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return all(name.startswith(PARTIAL_PREFIX) or name == LOCK_FILE for name in names)


def compare_recipes(stored: Path, recipe: TrainRecipe) -> None:
    """Say which settings differ from those the run was started with; UsageError for one that must stay."""
    before, after = flat(read_yaml(stored)), flat(recipe.model_dump(mode="json"))
    changes = {
        name: f"{name} was {before.get(name)}, is {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and name != "resume"
    }
    for fixed in FIXED_SETTINGS:
        for name, change in changes.items():
            if name == fixed or name.startswith(f"{fixed}."):
                raise UsageError(f"{change}: {stored.parent} cannot go on with it; set it back or use a new run.folder")
    for change in changes.values():
        print(f"changed since the run began: {change}")


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def heldout_evaluation(recipe: TrainRecipe, tokenizer: Tokenizer, seq_len: int) -> Evaluate:
    """Return the function that measures held-out loss and bits per byte, or nothing if no text is held out.

    What it will look at is read and checked now: an evaluation cannot fail after hours of training.
    """
    settings = recipe.heldout
    if settings is None:
        return lambda model: {}
    try:
        files = open_tokens(settings.paths, settings.dtype)
    except UsageError as error:
        raise UsageError(f"heldout.paths: {error}") from None
    require_tokenizer(files, tokenizer.fingerprint)
    windows = Windows(files, seq_len=seq_len, vocab_size=tokenizer.vocab_size, repetition_filter=False)
    batches = heldout_batches(windows, batch_sequences=recipe.run.micro_batch_sequences, max_tokens=settings.max_tokens)
    token_bytes = tokenizer.token_bytes()

    def evaluate(model: Transformer) -> dict[str, float]:
        held_out = heldout_loss(model, batches, token_bytes)
        return {"heldout_loss_nats": held_out.loss_nats, "heldout_bits_per_byte": held_out.bits_per_byte}

    return evaluate
