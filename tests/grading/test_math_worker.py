"""A fork that hangs, crashes or takes all memory is ended and replaced, whatever code it is in and whoever waits."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grading.fake_math_worker import FAKES

ROOT = Path(__file__).parents[2]
BAD = [name for name in FAKES if name != "equal"] + ["unknown"]


class Client:
    """A worker with fake comparisons and the other end of its channel."""

    def __init__(self) -> None:
        self.channel, its_channel = socket.socketpair()
        self.channel.settimeout(30)
        command = [sys.executable, str(Path(__file__).with_name("fake_math_worker.py"))]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with its_channel:
            self.process = subprocess.Popen(
                command, stdin=its_channel.fileno(), env=environment, start_new_session=True
            )
        self.lines = self.channel.makefile("rb")
        assert self.answer() == {"is_ready": True}

    def ask(self, comparison: str, left: str = "1", right: str = "1", number: int = 7) -> dict[str, object]:
        question = {"number": number, "comparison": comparison, "left": left, "right": right}
        self.channel.sendall(json.dumps(question).encode() + b"\n")
        return self.answer()

    def answer(self) -> dict[str, object]:
        found = json.loads(self.lines.readline())
        assert isinstance(found, dict)
        return found

    def hang_up(self) -> None:
        self.lines.close()
        self.channel.close()


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.hang_up()
    if client.process.poll() is None:
        os.killpg(client.process.pid, signal.SIGKILL)
        client.process.wait()


def wait_until_gone(group: int) -> None:
    """Wait until no process of a group is left."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"processes of group {group} are still there")


def test_answers_carry_the_number_of_their_question(client: Client) -> None:
    assert client.ask("equal", "a", "a", 3) == {"number": 3, "is_equal": True}
    assert client.ask("equal", "\ud800\n\x00", "\n", 4) == {"number": 4, "is_equal": False}


@pytest.mark.parametrize("comparison", BAD)
def test_a_bad_comparison_is_stopped_and_the_next_one_made(client: Client, comparison: str) -> None:
    started = time.monotonic()
    assert client.ask(comparison) == {"was_stopped": True}
    assert time.monotonic() - started < 20
    assert client.ask("equal", number=8) == {"number": 8, "is_equal": True}


def test_a_used_up_fork_is_replaced_unnoticed(client: Client) -> None:
    for number in range(10):
        assert client.ask("equal", "x" * 300_000, "y", number) == {"number": number, "is_equal": False}


def test_it_exits_when_nobody_asks_any_more(client: Client) -> None:
    client.hang_up()
    assert client.process.wait(10) == 0
    wait_until_gone(client.process.pid)


def test_it_exits_in_the_middle_of_a_comparison(client: Client) -> None:
    question = {"number": 1, "comparison": "hang in an integer", "left": "", "right": ""}
    client.channel.sendall(json.dumps(question).encode() + b"\n")
    client.hang_up()
    assert client.process.wait(20) == 0
    wait_until_gone(client.process.pid)


def test_signals_that_the_parent_ignores_or_blocks_end_a_comparison_all_the_same() -> None:
    numbers = (signal.SIGPROF, signal.SIGALRM, signal.SIGCHLD)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers[:2]}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        client = Client()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
    assert client.ask("hang in Python") == client.ask("sleep") == {"was_stopped": True}
    client.hang_up()
    client.process.wait(10)
    wait_until_gone(client.process.pid)
