"""An engine in a thread of its own, which the many tasks of an event loop share.

Requests go into the thread through a queue, updates come back to the loop once a step, all in one call. What fails in
a step ends the answers under way with that error; the engine goes on with the next.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from olmo2.base.errors import RunError, UsageError
from olmo2.inference.engine import Engine
from olmo2.inference.request import Request, Update


class BusyError(Exception):
    """More is under way than is allowed; `retry_seconds` from now there may be room."""

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(f"too many requests are under way; try again in {retry_seconds} s")
        self.retry_seconds = retry_seconds


class BrokenStepError(Exception):
    """A step of the engine failed while an answer was under way."""


@dataclass(eq=False)
class Job:
    """Requests that belong together, and what has come of them."""

    requests: Sequence[Request]
    updates: asyncio.Queue[tuple[int, Update] | Exception] = field(default_factory=asyncio.Queue)
    ids: list[int] = field(default_factory=list)  # of the engine; the thread's own
    num_open: int = 0  # requests that are not answered yet; the event loop's own
    started: float = field(default_factory=time.monotonic)


class EngineWorker:
    """Runs the engine from `start` to `stop`; every other method belongs to one event loop."""

    def __init__(self, engine: Engine, *, most_requests: int) -> None:
        self.engine, self.most_requests = engine, most_requests
        self.num_open = 0
        self.seconds: deque[float] = deque([1.0], maxlen=64)  # that recent jobs took
        self.inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.jobs: dict[int, tuple[Job, int]] = {}  # by the engine's number; the thread's own
        self.is_stopping = False
        self.thread = threading.Thread(target=self.run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to work for the running event loop."""
        self.loop = asyncio.get_running_loop()
        self.thread.start()

    def stop_soon(self) -> None:
        """Give up what is under way."""
        self.inbox.put(self.request_stop)

    async def stop(self) -> None:
        """Give up what is under way and end the thread."""
        self.stop_soon()
        await asyncio.to_thread(self.thread.join)

    @property
    def is_alive(self) -> bool:
        """Whether requests are being answered."""
        return self.thread.is_alive()

    def submit(self, requests: Sequence[Request]) -> Job:
        """Hand requests to the engine, all or none; whoever does must `release` the job in any case.

        Raises UsageError for a request that can never be answered, BusyError if there is no room for all, and
        BrokenStepError if the engine has stopped.
        """
        if len(requests) > self.most_requests:
            raise UsageError(f"{len(requests)} answers are more than this server works on ({self.most_requests})")
        if not self.is_alive:
            raise BrokenStepError("the engine has stopped; the server must be started again")
        for request in requests:
            self.engine.check(request)
        if self.num_open + len(requests) > self.most_requests:
            raise BusyError(max(1, round(sum(self.seconds) / len(self.seconds))))
        job = Job(requests, num_open=len(requests))
        self.num_open += len(requests)
        self.inbox.put(lambda: self.take(job))
        return job

    async def answer(self, job: Job, *, seconds: float) -> AsyncIterator[tuple[int, Update]]:
        """Yield what comes of each request of a job, with its place among them, until all are complete.

        Raises TimeoutError if that takes longer than `seconds`, BrokenStepError if the engine fails.
        """
        deadline = self.loop.time() + seconds
        while job.num_open:
            async with asyncio.timeout_at(deadline):
                found = await job.updates.get()
            if isinstance(found, Exception):
                raise found
            if found[1].completion is not None:
                job.num_open -= 1
                self.num_open -= 1
            yield found
        self.seconds.append(time.monotonic() - job.started)

    def release(self, job: Job) -> None:
        """Let go of what is still open of a job."""
        if job.num_open:
            self.num_open -= job.num_open
            job.num_open = 0
            self.inbox.put(lambda: self.drop(job))

    def run(self) -> None:
        """Take in what has come, do a step, hand out what it brought: the thread."""
        try:
            while not self.is_stopping:
                try:
                    self.work()
                except Exception as error:  # noqa: BLE001 (of any kind: those who wait must hear of it)
                    self.break_off(error)
        finally:
            self.break_off(RuntimeError("the server is stopping"))

    def work(self) -> None:
        """Take in what has come, and do a step."""
        with suppress(Empty):
            while not self.is_stopping:
                self.inbox.get(block=self.engine.is_idle)()
        if self.is_stopping:
            return
        updates = self.engine.step()
        found = [(*self.jobs[update.id], update) for update in updates if update.id in self.jobs]
        for job, _, update in found:
            if update.completion is not None:
                self.jobs.pop(update.id, None)  # gone already if another answer of the job has failed
            elif update.error is not None:
                self.end(job, update.error)
        self.call(lambda: self.hand_out(found))

    def take(self, job: Job) -> None:
        """Let the engine begin with a job."""
        try:
            for place, request in enumerate(job.requests):
                id = self.engine.submit(request)
                job.ids.append(id)
                self.jobs[id] = job, place
        except Exception as error:  # noqa: BLE001 (whoever waits for the job must hear of it)
            self.end(job, error)

    def drop(self, job: Job) -> None:
        """Let the engine end with a job that nobody waits for."""
        for id in job.ids:
            self.engine.cancel(id)
            self.jobs.pop(id, None)

    def break_off(self, error: Exception) -> None:
        """End everything under way, and tell those who wait why."""
        for job in {id(job): job for job, _ in self.jobs.values()}.values():
            self.end(job, error)

    def end(self, job: Job, error: Exception) -> None:
        """End a job, and tell whoever waits for it why."""
        self.drop(job)
        reason = BrokenStepError(str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}")
        self.call(lambda: job.updates.put_nowait(reason))

    def hand_out(self, found: Sequence[tuple[Job, int, Update]]) -> None:
        """Give updates to those who wait for them, in the event loop."""
        for job, place, update in found:
            if update.error is None:  # an error has gone its own way
                job.updates.put_nowait((place, update))

    def request_stop(self) -> None:
        """Let the thread end, and with it what is under way."""
        self.is_stopping = True

    def call(self, function: Callable[[], None]) -> None:
        """Run a function in the event loop; when that is closed, nobody waits any more."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function)
