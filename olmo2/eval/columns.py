"""Results of tasks -> the columns of a table."""

from collections.abc import Mapping, Sequence

from olmo2.eval.published_rows import Suite
from olmo2.eval.results import ColumnResult, Results, TaskResult
from olmo2.eval.statistics import Estimate, mean_of_groups
from olmo2.eval.task_list import SUITES, Column


def column_results(
    columns: Sequence[Column], found: Mapping[str, TaskResult], missing: Mapping[str, str]
) -> dict[str, ColumnResult]:
    """Return every column; one that lacks a task, or whose tasks have no scores, has no value and says why.

    missing: task -> why it was left out
    """
    return {column.name: column_result(column, found, missing) for column in columns}


def suite_of(results: Results) -> Suite | None:
    """Return the suite whose columns results have; None if they have none."""
    names = list(results.columns)
    return next((suite for suite, columns in SUITES.items() if [column.name for column in columns] == names), None)


def column_result(column: Column, found: Mapping[str, TaskResult], missing: Mapping[str, str]) -> ColumnResult:
    """Return one column."""
    notes = [f"{name} is missing: {missing.get(name, 'not evaluated')}" for name in column.tasks if name not in found]
    there = [name for name in column.tasks if name in found]
    estimates: dict[str, Estimate] = {}
    for name in there:
        estimate = found[name].scores.get(found[name].metric)
        if estimate is None:
            notes.append(f"{name} has no scores")
        else:
            estimates[name] = estimate
    if len(estimates) < len(column.tasks):
        return ColumnResult(None, None, there, notes)
    if column.rule == "mean":
        mean = mean_of_groups(list(estimates.values()))
        return ColumnResult(mean.value, mean.standard_error, there, notes)
    best = max(estimates, key=lambda name: estimates[name].value)
    if column.rule == "best":
        notes.append(f"the better of {' and '.join(column.tasks)} is {best}")
    return ColumnResult(estimates[best].value, estimates[best].standard_error, there, notes)
