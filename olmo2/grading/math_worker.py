"""The process in which sympy and math-verify compare formulas, and which may be stopped at any moment.

Run with a socket as standard input, on which a line of JSON asks and a line of JSON answers, one at a time. This
process only imports the two packages and forks: a fork answers, under limits that the kernel enforces by ending it, so
that no code, of Python or C, can hang on. This process then answers in its place, and the next fork is ready at once.
"""

import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

PROCESSOR_SECONDS = 1.0
"""of one comparison: twenty times what the 99th of a hundred needs (OLMES has five seconds of the clock, whose number
would make scores depend on how busy a machine is)"""
CLOCK_SECONDS = 60.0
"""of one comparison, for one that waits and does not compute"""
ADDRESS_SPACE_BYTES = 1024 * 2**20
"""beyond which nothing is allocated"""
MEMORY_BYTES = 320 * 2**20
"""beyond which "not equal" means "stopped": the packages may have swallowed that an allocation failed"""
QUESTIONS_OF_A_FORK = 1000
"""after which a fresh one takes over, since sympy's and ANTLR's caches grow"""

CHANNEL = 0
CHANNEL_CLOSED, FORK_USED_UP, FORK_STOPPED = 0, 3, 4
FIRST_FORMULAS = (
    (r"x^{2}-2x+1", r"(x-1)^2"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    (r"\frac{\sqrt[3]{x}}{3\pi}", r"\sin(\frac{\pi}{6})\cdot3!"),
    (r"(-\infty,2)\cup[5,\infty)", r"\begin{pmatrix}1\\-2\end{pmatrix}"),
    (r"-\log_{2}8", r"\binom{5}{2}+|x|"),
    ("x=3,-4", r"2<x\le5"),
)


def symbolically_equal(left: str, right: str) -> bool:
    """Whether sympy reads two texts as formulas whose difference it simplifies to zero; False if it fails at that.

    Source   Minerva (arXiv 2206.14858), as OLMES has it
    """
    from sympy import simplify
    from sympy.parsing.latex import parse_latex

    try:
        return bool(simplify(parse_latex(left) - parse_latex(right)) == 0)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (what sympy cannot read makes it fail in any way)
        return False


def verified(gold: str, response: str) -> bool:
    """Whether the package math-verify takes what it finds in a response to be what it finds in the gold text."""
    from math_verify import parse, verify

    # Without its own time limits, which are signals' and fail in C code. It catches what it fails at.
    return verify(parse(gold, parsing_timeout=None), parse(response, parsing_timeout=None), timeout_seconds=None)


COMPARISONS: dict[str, Callable[[str, str], bool]] = {"symbolic": symbolically_equal, "math_verify": verified}


def prepare() -> None:
    """Import the packages and let their parsers learn from some formulas, all of which forks start with."""
    import logging

    import sympy.parsing.latex._parse_latex_antlr as latex_parser

    # sympy asks for version 4.11 of ANTLR, math-verify's extra for 4.13, whose runtime reads 4.11's tables as well.
    latex_parser.version = lambda package: "4.11"
    logging.disable()
    for name, compare in COMPARISONS.items():
        if not compare(r"\frac{1}{2}", "0.5"):
            sys.exit(f"{name}: does not work with the installed packages; pip install 'olmo2[eval]'")
    for left, right in FIRST_FORMULAS:
        symbolically_equal(left, right)
        verified(f"${left}$", f"${right}$")
    gc.collect()
    gc.freeze()


def limit_processes() -> None:
    """Set what forks inherit: default signals, however the parent had set them, and a limit of memory."""
    for number in (signal.SIGPROF, signal.SIGALRM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def answer_questions() -> int:
    """Answer until the channel is closed or this fork is used up; return the status to exit with."""
    with open(CHANNEL, "rb", closefd=False) as questions:
        for count, line in enumerate(questions, 1):
            signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
            signal.setitimer(signal.ITIMER_REAL, CLOCK_SECONDS)
            question = json.loads(line)
            is_equal = COMPARISONS[question["comparison"]](question["left"], question["right"])
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            took_too_much = peak_memory_bytes() > MEMORY_BYTES
            if took_too_much and not is_equal:
                return FORK_STOPPED
            write({"number": question["number"], "is_equal": is_equal})
            if took_too_much or count == QUESTIONS_OF_A_FORK:
                return FORK_USED_UP
    return CHANNEL_CLOSED


def write(answer: dict[str, object]) -> None:
    """Write one line to the channel."""
    os.write(CHANNEL, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Say that forks are ready to answer, and replace each that ends until the channel is closed."""
    prepare()
    limit_processes()
    with suppress(ConnectionError):  # whoever asks is gone
        write({"is_ready": True})
        while (status := status_of_fork()) != CHANNEL_CLOSED:
            if status != FORK_USED_UP:
                write({"was_stopped": True})


def status_of_fork() -> int:
    """Let a fork answer, and return what it ended with."""
    if not (fork := os.fork()):
        status = FORK_STOPPED
        try:
            status = answer_questions()
        finally:
            os._exit(status)  # without cleaning up, and whatever was raised
    return os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])


if __name__ == "__main__":
    main()
