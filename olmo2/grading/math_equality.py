"""Whether two formulas are equal, asked of processes that are stopped when a comparison takes too long or too much."""

import atexit
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate

from olmo2.base.errors import RunError, UsageError
from olmo2.grading import math_worker

START_SECONDS = 120.0
"""until a process has imported sympy, on a very busy machine"""
ANSWER_SECONDS = 2 * math_worker.CLOCK_SECONDS
"""until a process counts as lost; it stops a comparison itself long before"""
MOST_PROCESSES = 8
LONGEST_FORMULA = 10_000
LONGEST_TEXT = 100_000
DEEPEST_BRACKETS = 100
"""what is longer, in characters, or deeper is no answer to a problem and is not even begun"""
BRACKET = re.compile(r"[()\[\]{}]")
PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*|(?=[0-9.]{1,16}\Z)[0-9]+\.[0-9]+)")
"""which sympy reads, unlike ".5" and "07", and exactly: its floats have 15 digits"""


@dataclass(frozen=True)
class Comparison:
    """What came of comparing two formulas; one that was stopped counts as not equal."""

    is_equal: bool
    was_stopped: bool = False


STOPPED = Comparison(is_equal=False, was_stopped=True)


def compare_formulas(left: str, right: str) -> Comparison:
    """Compare two answers in Minerva's form: numbers by value, others by whether sympy makes their difference zero.

    What sympy cannot read is not equal to anything, itself included. Of a text that begins like a formula sympy reads
    the beginning. Waits while all processes are busy; raises UsageError without the packages of the extra eval.
    """
    if PLAIN_NUMBER.fullmatch(left) and PLAIN_NUMBER.fullmatch(right):
        return Comparison(Decimal(left) == Decimal(right))
    if any(is_hopeless(text, LONGEST_FORMULA) for text in (left, right)):
        return STOPPED
    return PROCESSES.compare("symbolic", left, right)


def verify_response(response: str, gold: str) -> Comparison:
    """Compare what math-verify finds in a response and in a gold text, by that package's own rules.

    Raises UsageError without the packages of the extra eval.
    """
    if any(is_hopeless(text, LONGEST_TEXT) for text in (response, gold)):
        return STOPPED
    return PROCESSES.compare("math_verify", gold, response)


def is_hopeless(text: str, longest: int) -> bool:
    """Whether a text is too long, or nested too deeply, for a comparison to be worth its time."""
    steps = (1 if bracket in "([{" else -1 for bracket in BRACKET.findall(text[: longest + 1]))
    return len(text) > longest or max(accumulate(steps), default=0) > DEEPEST_BRACKETS


class Worker:
    """A process that compares; used by one thread at a time."""

    def __init__(self) -> None:
        """Start the process. Raises UsageError without its packages, RunError if it does not start."""
        for package in ("sympy", "math_verify", "antlr4"):
            if importlib.util.find_spec(package) is None:
                raise UsageError(f"comparing formulas needs the package {package}: pip install 'olmo2[eval]'")
        command = [sys.executable, "-P", math_worker.__file__]
        self.channel, its_channel = socket.socketpair()
        with its_channel:
            self.process = subprocess.Popen(
                command,
                stdin=its_channel.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONHASHSEED": "0"},  # sympy takes the same way every time
                start_new_session=True,  # the terminal's signals are not for it
            )
        self.received = b""
        self.number = 0
        try:
            with self._stopped_on_failure():
                self.channel.settimeout(START_SECONDS)
                self._read_answer()
                self.channel.settimeout(ANSWER_SECONDS)
        except OSError:
            raise RunError(
                f"the process that compares formulas did not start; run `{' '.join(command)}` to see why"
            ) from None

    def compare(self, comparison: str, left: str, right: str) -> Comparison:
        """Ask for one comparison; if no answer comes, or this thread is interrupted, the process is no more."""
        self.number += 1
        question = {"number": self.number, "comparison": comparison, "left": left, "right": right}
        try:
            with self._stopped_on_failure():
                self.channel.sendall(json.dumps(question).encode() + b"\n")
                answer = self._read_answer()
                while answer.get("number", self.number) != self.number:  # a fork once ended between two questions
                    answer = self._read_answer()
        except OSError:
            return STOPPED
        return STOPPED if "was_stopped" in answer else Comparison(bool(answer["is_equal"]))

    def stop(self) -> None:
        """End the process and its fork."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.channel.close()

    def _read_answer(self) -> dict[str, int]:
        """Return the next line of the process. Raises OSError if none comes."""
        while b"\n" not in self.received:
            part = self.channel.recv(4096)
            if not part:
                raise ConnectionError("the process that compares formulas has ended")
            self.received += part
        line, _, self.received = self.received.partition(b"\n")
        return json.loads(line)

    @contextmanager
    def _stopped_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.stop()
            raise


class WorkerPool:
    """Processes that compare for any number of threads, started when they are first needed."""

    def __init__(self, size: int) -> None:
        """Take `size`, the most processes at a time."""
        self.size = size
        self.forget()

    def forget(self) -> None:
        """Be as new, in a process that was forked: the workers are its parent's, as are the threads that use them."""
        for worker in getattr(self, "workers", ()):
            worker.channel.close()  # a worker exits when nobody has its channel
        self.workers: set[Worker] = set()
        self.idle: list[Worker] = []
        self.places = threading.Semaphore(self.size)

    def compare(self, comparison: str, left: str, right: str) -> Comparison:
        """Have one comparison made, as soon as a process is free."""
        with self.places:
            try:
                worker = self.idle.pop()
            except IndexError:
                worker = Worker()
                self.workers.add(worker)
            try:
                found = worker.compare(comparison, left, right)
            finally:
                if worker.process.returncode is None:
                    self.idle.append(worker)
                else:
                    self.workers.discard(worker)
            return found

    def close(self) -> None:
        """Stop all processes; the next comparison starts new ones."""
        while self.workers:
            self.workers.pop().stop()
        self.idle.clear()


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


PROCESSES = WorkerPool(min(usable_processors(), MOST_PROCESSES))
atexit.register(PROCESSES.close)
os.register_at_fork(after_in_child=PROCESSES.forget)
