"""Columns are made from tasks by their rule, or say which task is in the way."""

import math
from pathlib import Path

from olmo2.eval.columns import column_results, suite_of
from olmo2.eval.results import ColumnResult, read_results
from olmo2.eval.task_list import SUITES, Column
from tests.eval.small_results import task_result, write_folder

ONLY = Column("ONE", ("a",))
BEST = Column("TOP", ("a", "b"), "best")
MEAN = Column("ALL", ("a", "b", "c"), "mean")
FOUND = {
    "a": task_result(0.5, standard_error=0.03),
    "b": task_result(0.7, standard_error=0.04, metric="f1"),
    "c": task_result(0.9, standard_error=0.12),
}


def test_every_rule() -> None:
    found = column_results([ONLY, BEST, MEAN], FOUND, {})
    assert found["ONE"] == ColumnResult(0.5, 0.03, ["a"], [])
    assert found["TOP"] == ColumnResult(0.7, 0.04, ["a", "b"], ["the better of a and b is b"])
    mean = found["ALL"]
    assert mean.value is not None and math.isclose(mean.value, 0.7)
    assert mean.standard_error is not None and math.isclose(mean.standard_error, 0.13 / 3)  # √(3² + 4² + 12²) = 13
    assert (mean.from_tasks, mean.notes) == (["a", "b", "c"], [])


def test_the_suite_of_columns(tmp_path: Path) -> None:
    for suite, columns in SUITES.items():
        none = {column.name: ColumnResult(None, None, [], []) for column in columns}
        assert suite_of(read_results(write_folder(tmp_path / suite, {}, columns=none))) == suite
    assert suite_of(read_results(write_folder(tmp_path / "none", {}))) is None


def test_the_first_of_equally_good_tasks_is_taken() -> None:
    found = {"a": task_result(0.5, standard_error=0.1), "b": task_result(0.5, standard_error=0.2)}
    assert column_results([BEST], found, {})["TOP"].standard_error == 0.1


def test_a_mean_with_an_unknown_standard_error() -> None:
    found = FOUND | {"c": task_result(0.9, standard_error=None)}
    mean = column_results([MEAN], found, {})["ALL"]
    assert mean.value is not None and mean.standard_error is None


def test_a_column_that_lacks_a_task_has_no_value() -> None:
    found = {name: FOUND[name] for name in "ab"}
    assert column_results([ONLY, MEAN], found, {"c": "there is no file c"}) == {
        "ONE": ColumnResult(0.5, 0.03, ["a"], []),
        "ALL": ColumnResult(None, None, ["a", "b"], ["c is missing: there is no file c"]),
    }
    assert column_results([BEST], {"b": FOUND["b"]}, {})["TOP"] == ColumnResult(
        None, None, ["b"], ["a is missing: not evaluated"]
    )


def test_a_task_without_scores_leaves_no_value() -> None:
    found = FOUND | {"b": task_result(num_items=0, num_expected=10)}
    columns = column_results([BEST, MEAN], found, {})
    assert columns["TOP"] == ColumnResult(None, None, ["a", "b"], ["b has no scores"])
    assert columns["ALL"] == ColumnResult(None, None, ["a", "b", "c"], ["b has no scores"])


def test_the_columns_of_the_tables() -> None:
    tasks = {name for columns in SUITES.values() for column in columns for name in column.tasks}
    value = {name: number / 100 for number, name in enumerate(sorted(tasks))}
    every = {name: task_result(value[name], standard_error=0.06) for name in tasks}
    base = {name: column.value for name, column in column_results(SUITES["base"], every, {}).items()}
    assert base == {
        "MMLU": value["mmlu:base"],
        "ARC-C": max(value["arc_challenge:rc"], value["arc_challenge:mc"]),
        "HSwag": max(value["hellaswag:rc"], value["hellaswag:mc"]),
        "WinoG": max(value["winogrande:rc"], value["winogrande:mc"]),
        "NQ": value["naturalqs"],
        "DROP": value["drop:base"],
        "AGIEval": value["agi_eval"],
        "GSM8K": value["gsm8k:base"],
        "MMLU-Pro": value["mmlu_pro"],
        "TriviaQA": value["triviaqa"],
    }
    safety = column_results(SUITES["instruct"], dict.fromkeys(tasks, task_result(0.25, standard_error=0.06)), {})[
        "Safety"
    ]
    assert safety.standard_error is not None and math.isclose(safety.standard_error, 0.06 / math.sqrt(6))
