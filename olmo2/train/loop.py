"""The one training loop: step, log, evaluate, save; used by every stage that trains on a fixed set of sequences."""

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from olmo2.base.config import recipe_text, write_recipe
from olmo2.base.errors import RunError, UsageError
from olmo2.base.files import exclusive_folder
from olmo2.base.metrics import MetricsLog
from olmo2.checkpoint.keep import complete_checkpoints, drop_ephemeral, latest_checkpoint
from olmo2.checkpoint.run_state import RunState
from olmo2.checkpoint.save import RECIPE_FILE, save_checkpoint
from olmo2.data.batch import Batch
from olmo2.loss.language_model import LossSums, language_model_loss
from olmo2.model.flops import train_flops_per_token
from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import optimizer_tensors
from olmo2.optim.schedule import learning_rate
from olmo2.parallel.device import matmul_peak_flops
from olmo2.train.assemble import Job
from olmo2.train.progress import TrainProgress
from olmo2.train.step import LossOf, train_step
from olmo2.train.throughput import Throughput

MAX_BROKEN_STEPS = 10  # one broken batch is left out; a row of them means that the weights are broken


def train(job: Job, loss_of: LossOf | None = None) -> Path:
    """Run the job's remaining steps and return its last checkpoint.

    An interrupt or termination signal ends the step under way, saves, and raises RunError saying how to go on.
    Raises RunError too when MAX_BROKEN_STEPS steps in a row are not finite, without saving what came of them.
    """
    loss_of = loss_of or next_token_loss(job.recipe.loss.z_loss_weight)
    if job.resumed is not None and job.first_step > job.total_steps:
        print(f"{job.folder} is complete: {job.resumed[1].step} steps")
        return job.resumed[0]
    with exclusive_folder(job.folder):
        newest = latest_checkpoint(job.folder, job.recipe.run.stage)
        if newest != (job.resumed[0] if job.resumed else None):
            raise UsageError(f"another process has gone on with {job.folder} meanwhile; call the command again")
        write_recipe(job.recipe, job.folder / RECIPE_FILE)
        return run_steps(job, loss_of)


def run_steps(job: Job, loss_of: LossOf) -> Path:
    """Do the work of `train` in a folder that is ours alone."""
    run, recipe, model = job.recipe.run, job.recipe, job.start.model
    dtype = model.model.compute_dtype or model.lm_head.weight.dtype
    speed = Throughput(
        train_flops_per_token(model.config, job.loader.sequences.seq_len), matmul_peak_flops(model.device, dtype)
    )
    log = MetricsLog(job.folder, recipe.track, last_step=job.first_step - 1, recipe=recipe.model_dump(mode="json"))
    batches = job.loader.batches(job.first_step, job.total_steps)
    num_broken = 0
    unproven: Path | None = None  # the checkpoint saved last: what it replaces stays until its weights have been used
    with (
        closing(log),
        closing(batches),
        TrainProgress(run.stage, job.first_step, job.total_steps) as progress,
        stop_requests() as stop,
    ):
        for step in range(job.first_step, job.total_steps + 1):
            speed.start_step()
            tokens = step * run.global_batch_tokens
            lr = learning_rate(recipe.schedule, recipe.optim.peak_lr, tokens, job.total_tokens)
            metrics = train_step(
                model,
                job.optimizer,
                next(batches),
                loss_of,
                lr=lr,
                max_grad_norm=recipe.optim.max_grad_norm,
                micro_batch_sequences=run.micro_batch_sequences,
                guard=job.guard,
            )
            speed.end_step(run.global_batch_tokens)
            if metrics.is_skipped:
                progress.say(f"step {step} left out: loss {metrics.loss_nats:.3f}, grad norm {metrics.grad_norm:.2f}")
            is_last, is_stopped = step == job.total_steps, bool(stop)
            num_broken = 0 if metrics.is_finite else num_broken + 1
            if num_broken == MAX_BROKEN_STEPS or (is_last and num_broken > 1):
                raise RunError(diverged(job, step, num_broken))
            if unproven is not None and metrics.is_finite:  # its weights have just given a finite loss
                drop_ephemeral(job.folder, before=unproven)
                unproven = None

            if is_last or ((is_stopped or recipe.keep.is_due(step)) and metrics.is_finite):
                is_ephemeral = not (is_last or recipe.keep.is_permanent(step))
                checkpoint = unproven = save(job, step, is_ephemeral=is_ephemeral)

            is_to_evaluate = is_last or (run.evaluate_every_steps and step % run.evaluate_every_steps == 0)
            if not (is_to_evaluate or step % run.log_every_steps == 0 or step == job.first_step or metrics.is_skipped):
                progress.advance(step)
            else:
                values = {
                    "tokens": tokens,
                    "loss_nats": metrics.loss_nats,
                    "grad_norm": metrics.grad_norm,
                    "lr": lr,
                    "target_tokens": metrics.target_tokens,
                    "is_skipped": metrics.is_skipped,
                } | speed.measure()
                progress.update(step, values)
                log.write(step, values | (evaluated(job, step, progress) if is_to_evaluate else {}))
            if is_stopped and not is_last:
                saved = f"{checkpoint} is saved" if metrics.is_finite else "its loss is not finite and it is not saved"
                raise RunError(f"stopped after step {step}; {saved}: go on with --resume")
    drop_ephemeral(job.folder, before=checkpoint)
    return checkpoint


def evaluated(job: Job, step: int, progress: TrainProgress) -> dict[str, float]:
    """Measure the held-out loss after a step and say it."""
    values = job.evaluate(job.start.model)
    if values:
        progress.say(
            f"{job.recipe.run.stage}  step {step}: held-out loss {values['heldout_loss_nats']:.3f} nats, "
            f"{values['heldout_bits_per_byte']:.3f} bits per byte"
        )
    return values


def diverged(job: Job, step: int, num_broken: int) -> str:
    """Say that a run has gone wrong for good, and from where to go on."""
    stage, suspect = job.recipe.run.stage, job.checkpoint_folder(step - num_broken)
    # What was saved right before the first broken step holds the weights that broke it.
    delete = f"delete {suspect} and " if suspect.exists() else ""
    is_left = any(path != suspect for path in complete_checkpoints(job.folder) if stage in path.name)
    where = f"{delete}go on with --resume and" if is_left else "start again in another run.folder with"
    return (
        f"the last {num_broken} steps, up to step {step}, had a loss or gradient that is not finite; "
        f"{where} a lower optim.peak_lr or other data"
    )


def save(job: Job, step: int, *, is_ephemeral: bool) -> Path:
    """Save the whole state after `step`."""
    folder, model = job.checkpoint_folder(step), job.start.model
    state = RunState(
        stage=job.recipe.run.stage,
        parent=job.start.parent,
        data=job.loader.sequences.fingerprint(),
        step=step,
        tokens=step * job.recipe.run.global_batch_tokens,
        history=job.guard.history(),
        ephemeral=is_ephemeral,
    )
    save_checkpoint(
        folder,
        model,
        job.start.tokenizer,
        optimizer_tensors=optimizer_tensors(model, job.optimizer),
        state=state,
        recipe_text=recipe_text(job.recipe),
    )
    return folder


def next_token_loss(z_loss_weight: float) -> LossOf:
    """Return the loss of language modelling: cross-entropy of the next token plus z-loss."""

    def loss_of(model: Transformer, batch: Batch) -> LossSums:
        def head(hidden: Any, lm_head_weight: Any) -> Any:
            return language_model_loss(hidden, lm_head_weight, batch.labels, z_loss_weight=z_loss_weight)

        return model(batch.input_ids, document_ids=batch.document_ids, head=head)

    return loss_of


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect interrupt and termination signals instead of dying of them; a second one is obeyed at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("stopping after this step (again to stop at once)", flush=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
