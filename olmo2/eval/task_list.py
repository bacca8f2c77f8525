"""All benchmarks by name, and the suites that make a row of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from olmo2.base.errors import UsageError
from olmo2.base.suggestions import did_you_mean
from olmo2.eval.benchmarks import (
    agi_eval,
    alpaca_eval,
    arc,
    bbh,
    drop,
    gsm8k,
    hellaswag,
    ifeval,
    math,
    mmlu,
    mmlu_pro,
    naturalqs,
    popqa,
    safety,
    tiny,
    triviaqa,
    truthfulqa,
    winogrande,
)
from olmo2.eval.published_rows import Suite
from olmo2.eval.task import Task

BENCHMARKS = (
    alpaca_eval,
    bbh,
    drop,
    gsm8k,
    ifeval,
    math,
    mmlu,
    safety,
    popqa,
    truthfulqa,
    arc,
    hellaswag,
    winogrande,
    naturalqs,
    agi_eval,
    mmlu_pro,
    triviaqa,
    tiny,
)
TASKS: dict[str, Task] = {task.name: task for benchmark in BENCHMARKS for task in benchmark.TASKS}
ALIASES: dict[str, str] = {alias: task.name for task in TASKS.values() for alias in task.aliases}


@dataclass(frozen=True)
class Column:
    """A column of a table: one task, the better of several, or their mean."""

    name: str
    tasks: tuple[str, ...]
    rule: Literal["only", "best", "mean"] = "only"


SUITES: dict[Suite, tuple[Column, ...]] = {
    "instruct": (
        Column("AE2", ("alpaca_eval",)),
        Column("BBH", ("bbh",)),
        Column("DROP", ("drop",)),
        Column("GSM8K", ("gsm8k",)),
        Column("IFE", ("ifeval",)),
        Column("MATH", ("math",)),
        Column("MMLU", ("mmlu",)),
        Column("Safety", tuple(safety.COMPONENTS), "mean"),
        Column("PQA", ("popqa",)),
        Column("TQA", ("truthfulqa",)),
    ),
    "base": (
        Column("MMLU", ("mmlu:base",)),
        Column("ARC-C", ("arc_challenge:rc", "arc_challenge:mc"), "best"),
        Column("HSwag", ("hellaswag:rc", "hellaswag:mc"), "best"),
        Column("WinoG", ("winogrande:rc", "winogrande:mc"), "best"),
        Column("NQ", ("naturalqs",)),
        Column("DROP", ("drop:base",)),
        Column("AGIEval", ("agi_eval",)),
        Column("GSM8K", ("gsm8k:base",)),
        Column("MMLU-Pro", ("mmlu_pro",)),
        Column("TriviaQA", ("triviaqa",)),
    ),
    "tiny": (
        Column("Problems", ("tiny:problems",)),
        Column("Choices", ("tiny:choices",)),
        Column("Orders", ("tiny:orders",)),
    ),
}


def find_task(name: str) -> Task:
    """Return the task of a name, ours or one of its settings elsewhere. Raises UsageError for an unknown one."""
    task = TASKS.get(ALIASES.get(name, name))
    if task is None:
        suggestion = did_you_mean(name, [*TASKS, *ALIASES]) or "; olmo2 tasks lists them"
        raise UsageError(f"there is no task {name!r}{suggestion}")
    return task


def tasks_of(suite: Suite | None, names: Sequence[str]) -> list[Task]:
    """Return the tasks of a suite and those named besides, one by one or with commas, each once, in that order."""
    names = [name.strip() for several in names for name in several.split(",")]
    of_suite = [name for column in SUITES[suite] for name in column.tasks] if suite is not None else []
    return list({task.name: task for task in map(find_task, (*of_suite, *names))}.values())
