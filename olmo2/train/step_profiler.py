"""A trace of chosen steps, on request: what ran when, for a trace viewer, and which operators took the time."""

import gzip
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import Field
from torch.profiler import ProfilerActivity, profile, record_function

from olmo2.base.config import Settings
from olmo2.base.files import atomic_file, disk_errors, partial_path

PROFILE_FOLDER = "profile"
TABLE_ROWS = 40


class ProfileSettings(Settings):
    """Which steps to trace."""

    first_step: int = Field(ge=1)
    """first step of the trace; a few after the first of a run, so that compiling is over"""
    num_steps: int = Field(default=3, ge=1, le=100)
    """steps of the trace; each adds megabytes to it"""


class StepProfiler:
    """Traces the steps asked for into RUN/profile/, and costs nothing in all others.

    Of a process with many ranks, one is given settings and the others None. Close it after the last step: a run that
    ends amid the steps asked for leaves a trace of those it took.
    """

    def __init__(
        self, settings: ProfileSettings | None, run_folder: Path, *, say: Callable[[str], None] = print
    ) -> None:
        """Trace nothing if settings is None; `say` is told in one line what was written."""
        self.settings, self.folder, self.say = settings, run_folder / PROFILE_FOLDER, say
        self.profiler: profile | None = None
        self.traced: list[int] = []

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Wrap the work of a step. Starting takes seconds: measure the step's time inside."""
        if self.settings is None or not 0 <= step - self.settings.first_step < self.settings.num_steps:
            yield
            return
        if self.profiler is None:
            self.profiler = start_profiler()
        with record_function(f"step {step}"):
            yield
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()  # what the step started belongs to it
        self.traced.append(step)
        if step == self.settings.first_step + self.settings.num_steps - 1:
            self.close()

    def close(self) -> None:
        """Stop tracing and write what was traced, if anything was."""
        profiler, self.profiler = self.profiler, None
        if profiler is None:
            return
        profiler.stop()
        if self.traced:
            name = f"steps-{self.traced[0]}-{self.traced[-1]}"
            write_trace(profiler, self.folder / f"{name}.trace.json.gz")
            with atomic_file(self.folder / f"{name}.txt") as file:
                file.write(operator_table(profiler))
            self.say(
                f"steps {self.traced[0]} to {self.traced[-1]} are traced in {self.folder / name}.txt and .trace.json.gz"
            )


def start_profiler() -> profile:
    """Return a running profiler of the processor and, where there is one, of the CUDA device."""
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_initialized():
        activities.append(ProfilerActivity.CUDA)
    profiler = profile(activities=activities)
    profiler.start()
    return profiler


def write_trace(profiler: profile, path: Path) -> None:
    """Write the trace as compressed JSON in the format of Chrome's trace viewer, which Perfetto reads as well."""
    plain = partial_path(path).with_suffix("")  # torch writes to a name of its own, and not into an open file
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            profiler.export_chrome_trace(str(plain))
            with (
                open(plain, "rb") as trace,
                atomic_file(path, "wb") as file,
                gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
            ):
                shutil.copyfileobj(trace, packed)
        finally:
            plain.unlink(missing_ok=True)


def operator_table(profiler: profile) -> str:
    """Return the operators that took the most time, by their own time on the device and on the processor."""
    averages = profiler.key_averages()
    orders = {"self_cpu_time_total": "on the processor"}
    if torch.cuda.is_initialized():
        orders = {"self_device_time_total": "on the CUDA device"} | orders
    return "\n".join(
        f"Operators by their own time {where}\n{averages.table(sort_by=order, row_limit=TABLE_ROWS)}\n"
        for order, where in orders.items()
    )
