"""The published rows add up, and stand in the order of the suites' columns."""

import pytest

from olmo2.eval.published_rows import COLUMNS, PUBLISHED_ROWS, PublishedRow
from olmo2.eval.task_list import SUITES
from olmo2.model.flops import total_train_flops
from olmo2.model.sizes import model_config

TRAINING_TOKENS = {"7b": 4.05e12, "13b": 5.6e12, "32b": 6.6e12}  # as published


def test_columns_are_those_of_the_suites() -> None:
    assert {suite: tuple(column.name for column in columns) for suite, columns in SUITES.items()} == COLUMNS


@pytest.mark.parametrize("row", PUBLISHED_ROWS["instruct"], ids=lambda row: row.name)
def test_the_average_is_the_mean_of_the_columns(row: PublishedRow) -> None:
    assert len(row.values) == len(COLUMNS["instruct"])
    assert abs(sum(row.values) / 10 - row.average) <= 0.05 + 1e-9  # 13B: 63.45, printed as 63.5


def test_operations_are_those_of_the_sizes() -> None:
    for row in PUBLISHED_ROWS["instruct"]:
        size = row.name.split()[2].lower()
        if row.flop_1e23 is not None:
            expected = total_train_flops(model_config(f"olmo2-{size}"), int(TRAINING_TOKENS[size])) / 1e23
            assert row.flop_1e23 == pytest.approx(expected, rel=0.03)  # 32B: 12.8, printed as 13.0
    assert sum(row.flop_1e23 is not None for row in PUBLISHED_ROWS["instruct"]) == 3
