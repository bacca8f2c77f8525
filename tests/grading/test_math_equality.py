"""Equality is that of the published function; what hangs is stopped and said to be; threads and forks may ask."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from olmo2.base.errors import RunError, UsageError
from olmo2.grading import math_equality, math_worker
from olmo2.grading.math_equality import STOPPED, Comparison, WorkerPool, compare_formulas, verify_response
from olmo2.grading.math_form import minerva_form
from tests.grading.math_forms import FORMS

ROOT = Path(__file__).parents[2]
for package in ("sympy", "math_verify", "antlr4"):
    pytest.importorskip(package, reason=f"{package} (the extra eval) is not installed")

TOO_MUCH = (
    "9^{9^{9^9}}",
    r"9^{9^{9^9}} + \sqrt{2}",
    r"\binom{10^9}{10^8}",
    r"(x+y+z)^{999}-(x+y-z)^{999}",
    "10^{10^{10}}!",
    "9" * 9000 + "+1",
    "{" * 5000 + "1",
    "(" * 101 + "1" + ")" * 101,
    "x" * 20_000,
)


@pytest.mark.parametrize(("left", "right", "are_equal"), [row[:2] + row[3:4] for row in FORMS])
def test_formulas_are_equal_as_in_the_published_function(left: str, right: str, are_equal: bool) -> None:
    assert compare_formulas(minerva_form(left), minerva_form(right)) == Comparison(are_equal)


@pytest.mark.parametrize("text", TOO_MUCH, ids=lambda text: text[:30])
def test_what_takes_too_much_is_stopped_and_said_to_be(text: str) -> None:
    started = time.monotonic()
    assert compare_formulas(text, "5") == STOPPED
    assert time.monotonic() - started < 30
    assert compare_formulas("x+x", "2x") == Comparison(True)


@pytest.mark.parametrize("text", ["\x00", "\ud800", "", "{", "}", "\\", "\N{SNOWMAN}" * 500, "7!!!!!!", r"\frac{}{}"])
def test_what_is_no_formula_is_not_equal(text: str) -> None:
    assert compare_formulas(text, "5") == Comparison(False)


@pytest.mark.parametrize(("left", "right", "are_equal"), [("1.50", "1.5", True), ("9" * 9000, "9" * 9000, True)])
def test_numbers_are_compared_without_a_process(
    left: str, right: str, are_equal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(math_equality, "PROCESSES", None)
    assert compare_formulas(left, right) == Comparison(are_equal)
    assert compare_formulas(left, "-7") == Comparison(False)


RESPONSES = (
    (r"so $x = \boxed{\frac{2}{4}}$", r"\boxed{\frac12}"),
    ("the answer is 0.5", r"\boxed{\frac12}"),
    ("it is $\\{1,3\\}$", r"$\boxed{3,1}$"),
    ("it is $(1,3)$", r"$\boxed{(3,1)}$"),
    ("$x>2$", r"$\boxed{(2,\infty)}$"),
    ("50%", r"$\boxed{\frac{1}{2}}$"),
    ("", r"$\boxed{1}$"),
    ("\ud800\x00", r"$\boxed{1}$"),
)


@pytest.mark.parametrize(("response", "gold"), RESPONSES)
def test_math_verify_is_asked_for_its_own_opinion(response: str, gold: str) -> None:
    from math_verify import parse, verify

    assert verify_response(response, gold) == Comparison(verify(parse(gold), parse(response)))


@pytest.mark.parametrize("response", ["$9^{9^{9^9}}$", "$" + "(" * 300 + "$", "1" * 200_000])
def test_math_verify_is_stopped(response: str) -> None:
    assert verify_response(response, r"\boxed{5}") == STOPPED


def test_threads_ask_side_by_side_and_handlers_of_signals_stay() -> None:
    numbers = (signal.SIGALRM, signal.SIGPROF, signal.SIGCHLD, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    pairs = [(f"x+{number}", f"{number if number % 3 else 1}+x") for number in range(2, 60)] + [
        ("9^{9^{9^9}}", "1")
    ] * 2
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda pair: compare_formulas(*pair), pairs))
    assert found == [Comparison(bool(number % 3)) for number in range(2, 60)] + [STOPPED] * 2
    assert [signal.getsignal(number) for number in numbers] == before
    assert len(math_equality.PROCESSES.workers) <= math_equality.PROCESSES.size


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    """One place for a worker, whose comparisons are fakes."""
    monkeypatch.setattr(math_worker, "__file__", str(Path(__file__).with_name("fake_math_worker.py")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pool = WorkerPool(1)
    yield pool
    pool.close()


def test_a_worker_that_was_killed_is_replaced(pool: WorkerPool) -> None:
    assert pool.compare("equal", "x", "x") == Comparison(True)
    (worker,) = pool.workers
    os.killpg(worker.process.pid, signal.SIGKILL)
    assert pool.compare("equal", "x", "x") == STOPPED
    assert pool.compare("equal", "x", "x") == Comparison(True)
    pool.close()
    assert not pool.workers and worker.process.returncode == -signal.SIGKILL


def test_answers_stay_in_step_when_a_fork_ends_between_questions(pool: WorkerPool) -> None:
    assert pool.compare("equal", "x", "x") == Comparison(True)
    (worker,) = pool.workers
    (fork,) = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split()
    os.kill(int(fork), signal.SIGKILL)
    assert pool.compare("equal", "x", "x") == STOPPED
    for number in range(2, 5):
        assert pool.compare("equal", f"{number}", f"{number}") == Comparison(True)
        assert pool.compare("equal", f"{number}", "x") == Comparison(False)


def test_an_interrupted_thread_leaves_no_answer_behind(pool: WorkerPool) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    assert pool.compare("equal", "x", "x") == Comparison(True)
    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.compare("sleep", "", "")
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert not pool.workers
    assert pool.compare("equal", "x", "x") == Comparison(True)


def test_a_missing_package_is_one_sentence(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs the package sympy: pip install 'olmo2\[eval\]'"):
        pool.compare("symbolic", "x", "y")


def test_a_process_that_cannot_start_is_one_sentence(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(math_worker, "__file__", str(broken))
    with pytest.raises(RunError, match=r"did not start; run `.* -P .*broken\.py` to see why"):
        pool.compare("symbolic", "x", "y")
    assert not pool.workers


def run(script: str) -> subprocess.Popen[str]:
    """Start a Python process with a script that may ask for comparisons, which are fakes."""
    start = f"""
import os, threading, time
from olmo2.grading import math_worker
from olmo2.grading.math_equality import PROCESSES
math_worker.__file__ = {str(Path(__file__).with_name("fake_math_worker.py"))!r}
compare = PROCESSES.compare
"""
    command = [sys.executable, "-c", start + script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_a_forked_process_has_workers_of_its_own() -> None:
    script = """
assert compare("equal", "1", "1").is_equal
asking = threading.Thread(target=compare, args=("sleep", "", ""))
asking.start()
time.sleep(0.3)
fork = os.fork()
for number in range(10):
    assert compare("equal", f"{number} {fork}", f"{number} {fork}").is_equal
    assert not compare("equal", f"{number}", "x").is_equal
if fork:
    assert os.waitpid(fork, 0)[1] == 0
    asking.join()
    print(*(worker.process.pid for worker in PROCESSES.workers))
"""
    process = run(script)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.split()
    wait_until_gone(output.split())


def test_workers_go_with_a_process_that_is_killed() -> None:
    script = """
compare("equal", "1", "1")
threading.Thread(target=compare, args=("sleep", "", "")).start()
time.sleep(0.3)
print(*(worker.process.pid for worker in PROCESSES.workers), flush=True)
time.sleep(100)
"""
    process = run(script)
    assert process.stdout is not None
    groups = process.stdout.readline().split()
    process.kill()
    process.communicate()
    assert groups
    wait_until_gone(groups)


def wait_until_gone(groups: list[str]) -> None:
    """Wait until no process of some groups is left."""
    for group in groups:
        for _ in range(400):
            try:
                os.killpg(int(group), 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"processes of group {group} are still there")
