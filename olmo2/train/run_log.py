"""What a run tells while it goes: its metrics file and trackers, and the lines and the bar that a person sees."""

from olmo2.base.metrics import MetricsLog
from olmo2.model.flops import train_flops_per_token
from olmo2.parallel.device import matmul_peak_flops
from olmo2.train.assemble import Job
from olmo2.train.progress import TrainProgress
from olmo2.train.step import StepMetrics
from olmo2.train.throughput import Throughput


class RunLog:
    """Measures every step; on rank 0 it also writes and shows the numbers."""

    def __init__(self, job: Job) -> None:
        recipe, model, ranks = job.recipe, job.model, job.ranks
        self.recipe, self.is_main = recipe, ranks.is_main
        dtype = model.model.compute_dtype or model.lm_head.weight.dtype
        self.speed = Throughput(
            train_flops_per_token(model.config, job.loader.sequences.seq_len),
            matmul_peak_flops(ranks.device, dtype) * ranks.world_size,
        )
        if self.is_main:
            self.metrics = MetricsLog(
                job.folder, recipe.track, last_step=job.first_step - 1, recipe=recipe.model_dump(mode="json")
            )
            self.progress = TrainProgress(recipe.run.stage, job.first_step, job.total_steps)

    def start_step(self) -> None:
        """Note that a step begins."""
        self.speed.start_step()

    def end_step(self, step: int, metrics: StepMetrics) -> None:
        """Note that a step has ended, and say so if it was left out."""
        self.speed.end_step(self.recipe.run.global_batch_tokens)
        if self.is_main:
            if metrics.is_skipped:
                self.progress.say(
                    f"step {step} left out: loss {metrics.loss_nats:.3f}, grad norm {metrics.grad_norm:.2f}"
                )
            self.progress.advance(step)

    def write(self, step: int, metrics: StepMetrics, more: dict[str, float]) -> None:
        """Write and show the numbers of a step: its own, the speed since the last ones, and `more`."""
        values = {
            "tokens": more.pop("tokens"),
            "loss_nats": metrics.loss_nats,
            "grad_norm": metrics.grad_norm,
            "lr": more.pop("lr"),
            "target_tokens": metrics.target_tokens,
            "is_skipped": metrics.is_skipped,
        } | self.speed.measure()
        if not self.is_main:
            return
        self.progress.update(step, values)
        if "heldout_loss_nats" in more:
            self.progress.say(
                f"{self.recipe.run.stage}  step {step}: held-out loss {more['heldout_loss_nats']:.3f} nats, "
                f"{more['heldout_bits_per_byte']:.3f} bits per byte"
            )
        self.metrics.write(step, values | more)

    def close(self) -> None:
        """Finish the file, the trackers and the bar."""
        if self.is_main:
            self.progress.close()
            self.metrics.close()
