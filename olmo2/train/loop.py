"""The one training loop: step, log, evaluate, save; used by every stage that trains on a fixed set of sequences."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from olmo2.base.config import recipe_text
from olmo2.base.errors import RunError
from olmo2.base.metrics import MetricsLog
from olmo2.checkpoint.keep import drop_ephemeral
from olmo2.checkpoint.save import save_checkpoint
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


def train(job: Job, loss_of: LossOf | None = None) -> Path:
    """Run the job's remaining steps and return its last checkpoint.

    An interrupt or termination signal ends the step under way, saves, and raises RunError saying how to go on.
    """
    run, recipe, model = job.recipe.run, job.recipe, job.start.model
    loss_of = loss_of or next_token_loss(recipe.loss.z_loss_weight)
    if job.first_step > job.total_steps:
        print(f"{job.folder} is complete: {job.total_steps} steps")
        return job.checkpoint_folder(job.total_steps)

    dtype = model.model.compute_dtype or model.lm_head.weight.dtype
    speed = Throughput(
        train_flops_per_token(model.config, job.loader.sequences.seq_len), matmul_peak_flops(model.device, dtype)
    )
    log = MetricsLog(job.folder, recipe.track, last_step=job.first_step - 1, recipe=recipe.model_dump(mode="json"))
    batches = job.loader.batches(job.first_step)
    with TrainProgress(run.stage, job.first_step, job.total_steps) as progress, stop_requests() as stop:
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

            is_last = step == job.total_steps
            values: dict[str, float] = {}
            if is_last or step % run.log_every_steps == 0 or step == job.first_step or metrics.is_skipped:
                values = {
                    "tokens": tokens,
                    "loss_nats": metrics.loss_nats,
                    "grad_norm": metrics.grad_norm,
                    "lr": lr,
                    "target_tokens": metrics.target_tokens,
                    "is_skipped": metrics.is_skipped,
                } | speed.measure()
                progress.update(step, values)
            else:
                progress.advance(step)
            if is_last or (run.evaluate_every_steps and step % run.evaluate_every_steps == 0):
                values |= job.evaluate(model)
                if "heldout_bits_per_byte" in values:
                    progress.say(
                        f"{run.stage}  step {step}: held-out loss {values['heldout_loss_nats']:.3f} nats, "
                        f"{values['heldout_bits_per_byte']:.3f} bits per byte"
                    )
            if values:
                log.write(step, values)

            is_stopped = bool(stop)
            if is_last or is_stopped or recipe.keep.is_due(step):
                checkpoint = save(job, step, is_ephemeral=not (is_last or recipe.keep.is_permanent(step)))
            if is_stopped and not is_last:
                raise RunError(f"stopped after step {step}; {checkpoint} is saved: go on with --resume")
    log.close()
    return checkpoint


def save(job: Job, step: int, *, is_ephemeral: bool) -> Path:
    """Save the whole state after `step`, then drop the ephemeral checkpoints that this one replaces."""
    tokens = step * job.recipe.run.global_batch_tokens
    folder = job.checkpoint_folder(step)
    state: dict[str, Any] = job.state | {
        "step": step,
        "tokens": tokens,
        "guard": job.guard.state(),
        "ephemeral": is_ephemeral,
    }
    model = job.start.model
    save_checkpoint(
        folder,
        model,
        job.start.tokenizer,
        optimizer_tensors=optimizer_tensors(model, job.optimizer),
        state=state,
        recipe_text=recipe_text(job.recipe),
    )
    drop_ephemeral(job.folder, before=folder)
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
