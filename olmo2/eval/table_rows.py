"""Rows of a table: evaluated and published models, in percent, and what keeps a number from being compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from olmo2.base.errors import UsageError
from olmo2.eval.columns import column_results
from olmo2.eval.published_rows import COLUMNS, PUBLISHED_ROWS, Suite
from olmo2.eval.results import ColumnResult, Results, TaskResult, read_results
from olmo2.eval.statistics import Estimate, mean_of_groups
from olmo2.eval.task_list import SUITES

PERCENT = 100


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    percent: float | None = None  # None = it is missing
    standard_error_percent: float | None = None  # None = unknown
    is_other_setting: bool = False  # made with a setting that is not the published one
    is_partial: bool = False  # made from fewer items than the benchmark has

    @property
    def is_comparable(self) -> bool:
        """Whether the number may stand for the published benchmark."""
        return self.percent is not None and not self.is_other_setting and not self.is_partial


@dataclass(frozen=True)
class TableRow:
    """One model."""

    name: str
    is_published: bool
    average: Cell  # plain mean of the columns; missing unless all of them are comparable
    flop: float | None  # of training, 6·N·D for N parameters and D tokens; None = not known
    cells: dict[str, Cell]  # by column
    notes: list[str]  # without the model's name


def published_rows(suite: Suite) -> list[TableRow]:
    """Return the rows of the published table."""
    return [
        TableRow(
            name=f"{row.name} (published)",
            is_published=True,
            average=Cell(row.average),
            flop=None if row.flop_1e23 is None else row.flop_1e23 * 1e23,
            cells=dict(zip(COLUMNS[suite], map(Cell, row.values), strict=True)),
            notes=[],
        )
        for row in PUBLISHED_ROWS[suite]
    ]


def evaluated_rows(paths: Sequence[Path], suite: Suite) -> list[TableRow]:
    """Read evaluations and return one row for each.

    Raises UsageError for a folder that cannot be read or holds no column of the suite.
    """
    found = [read_results(path) for path in paths]
    return [
        evaluated_row(name, results, suite, path)
        for name, results, path in zip(row_names(paths, found), found, paths, strict=True)
    ]


def row_names(paths: Sequence[Path], found: Sequence[Results]) -> list[str]:
    """Name each row by its model, by its folder where several models have one name, or else by its whole path."""
    names = [results.model.name for results in found]
    for others in ([path.resolve().name for path in paths], [str(path) for path in paths]):
        names = [other if names.count(name) > 1 else name for name, other in zip(names, others, strict=True)]
    return names


def evaluated_row(name: str, results: Results, suite: Suite, path: Path) -> TableRow:
    """Return the row of one evaluation; `path` is named in errors."""
    columns = columns_of(results, suite)
    if not any(column.value is not None for column in columns.values()):
        others = " or ".join(f"--suite={other}" for other in COLUMNS if other != suite)
        raise UsageError(f"{path} has no column of the {suite} table; try {others}, or evaluate the suite")
    cells = {name: evaluated_cell(columns[name], results) if name in columns else Cell() for name in COLUMNS[suite]}
    average, notes = average_cell(cells)
    notes += grouped([note for name, column in columns.items() for note in column_notes(name, column, results)])
    parameters, tokens = results.model.num_parameters, results.model.training_tokens
    flop = None if parameters is None or tokens is None else 6.0 * parameters * tokens
    return TableRow(name, False, average, flop, cells, notes)


def columns_of(results: Results, suite: Suite) -> dict[str, ColumnResult]:
    """Return the columns of a suite that come from tasks, made anew where the evaluation was of another suite."""
    made = column_results(SUITES[suite], results.tasks, {})
    tasks = {column.name: set(column.tasks) for column in SUITES[suite]}
    own = {
        name: column
        for name, column in results.columns.items()
        if name in tasks and set(column.from_tasks) <= tasks[name] and (column.from_tasks or not made[name].from_tasks)
    }
    return {name: own.get(name, column) for name, column in made.items() if name in own or column.from_tasks}


def evaluated_cell(column: ColumnResult, results: Results) -> Cell:
    """Return the number of a column with what is to be known of the tasks that it comes from."""
    tasks = [results.tasks[task] for task in column.from_tasks]
    if column.value is None:
        return Cell()
    error = column.standard_error
    return Cell(
        percent=PERCENT * column.value,
        standard_error_percent=None if error is None else PERCENT * error,
        is_other_setting=not all(task.is_published_setting for task in tasks),
        is_partial=any(task.is_partial for task in tasks),
    )


def average_cell(cells: dict[str, Cell]) -> tuple[Cell, list[str]]:
    """Return the plain mean of the columns, or none and a note that names the columns it lacks."""
    reasons = {
        "missing": [name for name, cell in cells.items() if cell.percent is None],
        "not the published setting": [name for name, cell in cells.items() if cell.is_other_setting],
        "partial": [name for name, cell in cells.items() if cell.is_partial],
    }
    lacking = [f"{reason}: {', '.join(names)}" for reason, names in reasons.items() if names]
    if lacking:
        return Cell(), [f"no Avg ({'; '.join(lacking)})"]
    mean = mean_of_groups([Estimate(cell.percent or 0, cell.standard_error_percent, 1) for cell in cells.values()])
    return Cell(mean.value, mean.standard_error), []


def column_notes(name: str, column: ColumnResult, results: Results) -> list[tuple[str, str]]:
    """Return what keeps a column's number from being that of the published benchmark, with whom it is about."""
    notes = [(task, note) for task in column.from_tasks for note in task_notes(results.tasks[task])]
    return notes + [(name, note) for note in column.notes]


def task_notes(task: TaskResult) -> list[str]:
    """Return what a reader of a task's number has to know."""
    partial = [f"{task.num_items:,} of {task.num_expected:,} items"] if task.is_partial else []
    return [*partial, *task.notes]


def grouped(notes: Sequence[tuple[str, str]]) -> list[str]:
    """Return pairs of a name and what is to be said of it as lines, equal ones together."""
    names_of_note: dict[str, list[str]] = {}
    for name, note in notes:
        names_of_note.setdefault(note, []).append(name)
    return [f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in names_of_note.items()]
