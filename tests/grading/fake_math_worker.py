"""The worker with comparisons that go wrong in every way: run as a program by tests, without sympy and at once."""

import ctypes
import os
import re
import sys
import time
from collections.abc import Callable

from olmo2.grading import math_worker


def take_all_memory() -> bool:
    """Allocate until no more is granted."""
    parts = []
    while True:
        parts.append(bytearray(2**20))


def swallow_that_memory_is_short() -> bool:
    """Allocate so, and say nothing of it."""
    try:
        return take_all_memory()
    except MemoryError:
        return False


def hang_in_python() -> bool:
    """Compute nothing for ever."""
    while True:
        pass


FAKES: dict[str, Callable[[str, str], object]] = {
    "equal": lambda left, right: left == right,
    "hang in Python": lambda left, right: hang_in_python(),
    "hang in a regex": lambda left, right: re.fullmatch("(a|a)+", "a" * 99 + "b"),
    "hang in an integer": lambda left, right: 9**9**9 > 0,
    "sleep": lambda left, right: time.sleep(1000),
    "exit": lambda left, right: sys.exit(0),
    "fail": lambda left, right: 1 / 0,
    "abort": lambda left, right: os.abort(),
    "segmentation fault": lambda left, right: ctypes.string_at(0),
    "take all memory": lambda left, right: take_all_memory(),
    "swallow that memory is short": lambda left, right: swallow_that_memory_is_short(),
    "ask for all memory": lambda left, right: bytearray(2**40) == b"",
}

if __name__ == "__main__":
    math_worker.COMPARISONS = FAKES  # type: ignore[assignment]
    math_worker.PROCESSOR_SECONDS = 0.3
    math_worker.CLOCK_SECONDS = 3
    math_worker.QUESTIONS_OF_A_FORK = 4
    math_worker.prepare = lambda: None
    math_worker.main()
