"""Small output folders of evaluations, for the tests of what reads them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from olmo2.eval.results import ColumnResult, Results, ScoredModel, TaskResult, items_file, write_results
from olmo2.eval.statistics import Estimate


def task_result(
    value: float = 0.5,
    *,
    standard_error: float | None = 0.1,
    num_items: int = 25,
    num_expected: int | None = None,
    version: int = 1,
    prompt_hash: str = "abc",
    metric: str = "exact_match",
    average: Literal["items", "groups"] = "items",
    is_published_setting: bool = True,
    notes: Sequence[str] = (),
) -> TaskResult:
    """A task's result with one metric."""
    return TaskResult(
        version=version,
        prompt_hash=prompt_hash,
        metric=metric,
        average=average,
        scores={metric: Estimate(value, standard_error, num_items)} if num_items else {},
        num_items=num_items,
        num_expected=num_items if num_expected is None else num_expected,
        num_failed=0,
        is_published_setting=is_published_setting,
        notes=list(notes),
    )


def write_folder(
    folder: Path,
    tasks: Mapping[str, TaskResult],
    *,
    columns: Mapping[str, ColumnResult] | None = None,
    items: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
    name: str | None = None,
    num_parameters: int | None = None,
    training_tokens: int | None = None,
) -> Path:
    """Write the output folder of an evaluation, with rows of single items where some are given."""
    folder.mkdir(parents=True)
    model = ScoredModel(name or folder.name, "0123", "float32", "olmo2", num_parameters, training_tokens)
    write_results(Results(model, 0, {"olmo2": "0.1"}, "2025-01-01T00:00:00", dict(tasks), dict(columns or {})), folder)
    for task, rows in (items or {}).items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        items_file(folder, task).write_text("".join(lines), encoding="utf-8")
    return folder
