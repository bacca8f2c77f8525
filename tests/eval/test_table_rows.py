"""Rows are the results in percent, and no number stands for a published one that it is not."""

from pathlib import Path

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.published_rows import COLUMNS
from olmo2.eval.results import ColumnResult, TaskResult
from olmo2.eval.table_rows import Cell, average_cell, evaluated_rows, published_rows
from olmo2.eval.task_list import SUITES
from tests.eval.small_results import task_result, write_folder

VALUES = dict(zip(COLUMNS["instruct"], np.linspace(0.05, 0.95, 10).tolist(), strict=True))


def write_suite(path: Path, changed: dict[str, TaskResult] | None = None, **settings: object) -> Path:
    """The output folder of all instruct columns, each from its own tasks; `changed` replaces tasks."""
    tasks, columns = {}, {}
    for column in SUITES["instruct"]:
        tasks |= {name: task_result(VALUES[column.name], standard_error=0.02) for name in column.tasks}
        columns[column.name] = ColumnResult(VALUES[column.name], 0.02, list(column.tasks), [])
    return write_folder(path, tasks | (changed or {}), columns=columns, **settings)  # type: ignore[arg-type]


def test_a_whole_row(tmp_path: Path) -> None:
    folder = write_suite(tmp_path / "mine", num_parameters=7_300_000_000, training_tokens=4_050_000_000_000)
    (row,) = evaluated_rows([folder], "instruct")
    assert list(row.cells) == list(COLUMNS["instruct"]) and not row.notes and row.name == "mine"
    assert [cell.percent for cell in row.cells.values()] == pytest.approx(np.linspace(5, 95, 10))
    assert row.cells["MMLU"].standard_error_percent == pytest.approx(2.0)
    assert row.average.percent == pytest.approx(50.0)
    assert row.average.standard_error_percent == pytest.approx(2 / np.sqrt(10))
    assert row.flop is not None and round(row.flop / 1e23, 2) == 1.77
    assert not row.is_published and all(cell.is_comparable for cell in row.cells.values())


def test_what_is_missing_partial_or_of_another_setting_has_no_average(tmp_path: Path) -> None:
    changed = {
        "gsm8k": task_result(num_items=100, num_expected=1319),
        "math": task_result(is_published_setting=False, notes=["four examples less"]),
    }
    folder = write_suite(tmp_path / "mine", changed)
    (row,) = evaluated_rows([folder], "instruct")
    assert row.cells["GSM8K"].is_partial and row.cells["MATH"].is_other_setting
    assert row.average == Cell() and row.flop is None
    assert row.notes == [
        "no Avg (not the published setting: MATH; partial: GSM8K)",
        "gsm8k: 100 of 1,319 items",
        "math: four examples less",
    ]
    cells = {**row.cells, "GSM8K": Cell(50.0), "MATH": Cell(), "TQA": Cell()}
    assert average_cell(cells) == (Cell(), ["no Avg (missing: MATH, TQA)"])


def test_an_unknown_standard_error_leaves_that_of_the_average_unknown() -> None:
    average, notes = average_cell({"x": Cell(10.0, 1.0), "y": Cell(20.0)})
    assert average == Cell(15.0, None) and notes == []


def test_a_column_without_a_value_says_why(tmp_path: Path) -> None:
    tasks = {"gsm8k": task_result(), "ifeval": task_result(num_items=0, num_expected=541)}
    columns = {
        "GSM8K": ColumnResult(0.5, None, ["gsm8k"], []),
        "IFE": ColumnResult(None, None, ["ifeval"], ["no response"]),
    }
    (row,) = evaluated_rows([write_folder(tmp_path / "x", tasks, columns=columns)], "instruct")
    assert row.cells["IFE"] == Cell() and row.cells["GSM8K"] == Cell(50.0)
    assert row.notes[1:] == ["ifeval: 0 of 541 items", "IFE: no response"]


def test_equal_notes_stand_together(tmp_path: Path) -> None:
    same = {"is_published_setting": False, "notes": ["the context is short"]}
    changed = {name: task_result(0.5, **same) for name in ("math", "gsm8k", "xstest", "harmbench")}  # type: ignore[arg-type]
    (row,) = evaluated_rows([write_suite(tmp_path / "mine", changed)], "instruct")
    assert row.notes[1:] == ["gsm8k, math, harmbench, xstest: the context is short"]


def test_an_empty_column_of_another_suite_hides_nothing(tmp_path: Path) -> None:
    columns = {"MMLU": ColumnResult(None, None, [], ["mmlu:base is missing: not evaluated"])}
    (row,) = evaluated_rows([write_folder(tmp_path / "x", {"mmlu": task_result(0.5)}, columns=columns)], "instruct")
    assert row.cells["MMLU"].percent == 50.0 and not any("mmlu:base" in note for note in row.notes)


def test_columns_of_another_suite_are_made_from_the_tasks(tmp_path: Path) -> None:
    tasks = {"mmlu:base": task_result(0.25), "arc_challenge:rc": task_result(0.5), "gsm8k": task_result(0.75)}
    folder = write_folder(tmp_path / "x", tasks, columns={"GSM8K": ColumnResult(0.75, None, ["gsm8k"], [])})
    (base,) = evaluated_rows([folder], "base")
    assert {name: cell.percent for name, cell in base.cells.items() if cell.percent is not None} == {"MMLU": 25.0}
    assert base.cells["ARC-C"] == Cell() and "ARC-C: arc_challenge:mc is missing: not evaluated" in base.notes


def test_columns_of_one_name_belong_to_their_suite(tmp_path: Path) -> None:
    """Both tables have GSM8K, MMLU and DROP, of different settings."""
    folder = write_suite(tmp_path / "mine")
    with pytest.raises(UsageError, match="mine has no column of the base table; try --suite=instruct or --suite=tiny"):
        evaluated_rows([folder], "base")
    columns = {"MMLU": ColumnResult(0.5, 0.1, ["mmlu:base"], [])}
    base = write_folder(tmp_path / "base", {"mmlu:base": task_result()}, columns=columns)
    assert evaluated_rows([base], "base")[0].cells["MMLU"].percent == 50.0
    with pytest.raises(UsageError, match="base has no column of the instruct table; try --suite=base"):
        evaluated_rows([base], "instruct")


def test_names_tell_rows_apart(tmp_path: Path) -> None:
    folders = [
        write_suite(tmp_path / "x" / "run", name="sft"),
        write_suite(tmp_path / "y" / "run", name="sft"),
        write_suite(tmp_path / "other", name="sft"),
        write_suite(tmp_path / "dpo"),
    ]
    names = [row.name for row in evaluated_rows(folders, "instruct")]
    assert names == [str(folders[0]), str(folders[1]), "other", "dpo"]


def test_published_rows() -> None:
    rows = published_rows("instruct")
    assert [row.name for row in rows] == [f"OLMo 2 {size} Instruct (published)" for size in ("1B", "7B", "13B", "32B")]
    assert rows[1].cells["TQA"] == Cell(56.5) and rows[1].average == Cell(56.5) and rows[0].flop is None
    assert all(row.is_published and not row.notes for row in rows)
    assert published_rows("base") == []
