"""Measure grading 5,000 responses to MATH, and a hundred made to hang or crash a grader: time, memory, what was right.

Run as ``python bench/grade_math.py --data test.jsonl`` with MATH's test set, a JSON line with "solution" per problem.
Every solution becomes a response of one kind: itself, its answer in another form, a wrong answer, none. Memory is that
of this process and, every second, of all its workers together, pages that they share counted once (Linux).
"""

import argparse
import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from olmo2.grading.math_answer import MathScore, boxed_answer, score_math_answers
from olmo2.grading.math_equality import PROCESSES

KINDS = ("solution", "phrase", "display fractions", "decimal", "text around", "wrong", "no answer")
ADVERSARIAL: tuple[Callable[[int], str], ...] = (
    lambda n: rf"\boxed{{9^{{9^{{9^{{{n}}}}}}}}}",
    lambda n: rf"\boxed{{{n}!!!!!!}}",
    lambda n: rf"\boxed{{(({n}^{{999}})!)!}}",
    lambda n: rf"\boxed{{\binom{{9999999{n}}}{{4444444}}}}",
    lambda n: rf"\boxed{{\sum_{{k=1}}^{{10^{{{n}}}}} \frac{{1}}{{k^k}}}}",
    lambda n: rf"\boxed{{(x+y+z)^{{{n}00}}-(x+y-z)^{{{n}00}}}}",
    lambda n: rf"\boxed{{\int_0^{n} \sin(x^x) \cos(e^x) dx}}",
    lambda n: rf"\boxed{{\sqrt[{n}]{{\sqrt{{2}}+\sqrt{{3}}+\sqrt{{5}}+\sqrt{{7}}+\sqrt{{11}}+\sqrt{{13}}}}}}",
    lambda n: rf"\boxed{{{str(n) * 5000}}}",
    lambda n: rf"\boxed{{{str(n) * 5000}+1}}",
    lambda n: rf"\boxed{{{'{' * 2000}{n}{'}' * 2000}}}",
    lambda n: r"\boxed{" * 3000 + str(n),
    lambda n: rf"\boxed{{{'(' * 500}{n}{')' * 500}}}",
    lambda n: r"\boxed{" + r"\frac{1}{1+" * 300 + str(n) + "}" * 301,
    lambda n: "x" * 1_000_000 + str(n),
    lambda n: "Final Answer: The final answer is " * 30_000 + str(n),
    lambda n: "$ 1 $ {1} answer is " * 50_000 + str(n),
    lambda n: f"\\boxed{{\x00\x07\x1b[31m{n}\x7f}}",
    lambda n: f"\\boxed{{\ud800{n}\udfff}}",
    lambda n: "" if n % 2 else "\n" * n,
)


@dataclass
class Memory:
    """Peaks of memory in bytes, taken while a block runs."""

    parent: int = 0
    workers: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Memory":
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()

    def watch(self) -> None:
        """Measure until the block ends."""
        while not self.done.wait(1):
            self.parent = max(self.parent, resident(os.getpid()))
            self.workers = max(self.workers, sum(map(resident, processes_of_workers())))


def processes_of_workers() -> Iterator[int]:
    """Yield the workers and their forks."""
    for worker in PROCESSES.workers.copy():
        yield worker.process.pid
        with suppress(OSError):  # it may just have been replaced
            yield from map(
                int, Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split()
            )


def resident(process: int) -> int:
    """Return the bytes of a process in memory, its part of what it shares; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{process}/smaps_rollup").read_text().split("\nPss:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return 0


def response_of(kind: str, answer: str, solution: str, other: str) -> str:
    """Return a response of one kind to a problem with an answer; `other` is another problem's answer."""
    if kind == "solution":
        return solution
    if kind == "phrase":
        return f"We reason.\nFinal Answer: The final answer is ${answer}$. I hope it is correct."
    if kind == "display fractions":
        return rf"So \[\boxed{{{answer.replace('dfrac', 'frac').replace('frac', 'dfrac')}}}\]"
    if kind == "decimal":
        return rf"That is $\boxed{{{as_decimal(answer)}}}$."
    if kind == "text around":
        return f"After some work one sees that it has to be ${answer}$, and nothing else."
    if kind == "wrong":
        return rf"Clearly $\boxed{{{other}}}$."
    return solution.partition(r"\boxed")[0].replace("$", " ")


def as_decimal(answer: str) -> str:
    """Return a fraction of whole numbers in decimals if it ends, and what is a whole number with one; else as it is."""
    parts = answer.replace("dfrac", "frac").removeprefix(r"\frac{").removesuffix("}").split("}{")
    try:
        value = Fraction(*map(int, parts))
    except (ValueError, TypeError, ZeroDivisionError):
        return answer
    return str(float(value)) if value * 10**6 % 1 == 0 else answer


def make_responses(solutions: list[str], num_adversarial: int) -> Iterator[tuple[str, str, str]]:
    """Yield kind, response and gold solution."""
    answers = [boxed_answer(solution) or "" for solution in solutions]
    every = max(1, len(solutions) // max(1, num_adversarial))
    for number, solution in enumerate(solutions):
        kind = KINDS[number % len(KINDS)]
        yield kind, response_of(kind, answers[number], solution, answers[number - 1]), solution
        if num_adversarial and number % every == 0 and number // every < num_adversarial:
            made = number // every
            yield "adversarial", ADVERSARIAL[made % len(ADVERSARIAL)](3 + made), solution


def report(kinds: list[str], scores: list[MathScore]) -> None:
    """Print the share right and the number stopped of each kind."""
    print(f"{'kind':<20} {'responses':>9} {'exact':>7} {'flex':>7} {'verify':>7} {'stopped':>8}")
    for kind in (*KINDS, "adversarial"):
        of_kind = [score for score, its_kind in zip(scores, kinds, strict=True) if its_kind == kind]
        measures = ("exact_match", "exact_match_flex", "math_verify", "was_stopped")
        *right, stopped = (sum(getattr(score, measure) for score in of_kind) for measure in measures)
        shares = (f"{number / max(1, len(of_kind)):>7.1%}" for number in right)
        print(f"{kind:<20} {len(of_kind):>9,}", *shares, f"{stopped:>8}")


def main() -> None:
    """Grade and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="MATH's test set, as JSON lines")
    parser.add_argument("--adversarial", type=int, default=100, help="how many responses made to hang a grader")
    arguments = parser.parse_args()
    solutions = [json.loads(line)["solution"] for line in arguments.data.read_text(encoding="utf-8").splitlines()]
    kinds, responses, golds = zip(*make_responses(solutions, arguments.adversarial), strict=True)
    started = time.perf_counter()
    with Memory() as memory:
        scores = score_math_answers(responses, golds)
    seconds = time.perf_counter() - started
    report(list(kinds), scores)
    num_workers = len(PROCESSES.workers)
    for worker in PROCESSES.workers:
        worker.channel.close()
        worker.process.wait()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    here, there = (of.ru_utime + of.ru_stime for of in used)
    print(
        f"{len(scores):,} responses in {seconds:.1f} s with {num_workers} workers, load {os.getloadavg()[0]:.1f}; "
        f"processor seconds {here:.1f} here and {there:.1f} in workers; "
        f"memory at most {memory.parent / 1e6:.0f} MB here and {memory.workers / 1e6:.0f} MB in workers"
    )


if __name__ == "__main__":
    main()
