"""Annotations files: what is read from whole ones, and the sentence that each kind of damage gets."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.annotation_file import read_annotations


def row(number: int, **changes: object) -> dict[str, Any]:
    """One judged pair of our own, with changes."""
    whole = {
        "instruction": f"Count to {number}.",
        "output_1": "one, two",
        "output_2": "é" * number,
        "generator_1": "base",
        "generator_2": "mine",
        "annotator": "a judge",
        "preference": 1.25,
        "price_per_example": 0.01,
    }
    return whole | changes


def write(folder: Path, value: object) -> Path:
    """Write a file of annotations."""
    file = folder / "annotations.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def test_a_whole_file(tmp_path: Path) -> None:
    file = write(tmp_path, [row(3), row(1, preference=0, output_1=""), row(2, preference=2)])
    annotations = read_annotations(file, model="mine", baseline="base")
    assert (annotations.model, annotations.baseline, annotations.annotator) == ("mine", "base", "a judge")
    assert annotations.instructions == ("Count to 3.", "Count to 1.", "Count to 2.")
    assert annotations.preferences == (1.25, 1.5, 2.0)  # 0 is a draw
    assert annotations.lengths_model == (3, 1, 2)  # characters, not bytes
    assert annotations.lengths_baseline == (8, 0, 8)


def test_a_compressed_file_without_annotator(tmp_path: Path) -> None:
    file = tmp_path / "annotations.json.gz"
    pair = row(1)
    del pair["annotator"]
    file.write_bytes(gzip.compress(json.dumps([pair]).encode()))
    assert read_annotations(file).annotator == ""
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(UsageError, match=r"annotations\.json\.gz is damaged"):
        read_annotations(file)


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (row(2, preference=None), "row 2 has no preference"),
        (row(2, preference=2.5), "row 2: a preference must be a number from 1 to 2, not 2.5"),
        (row(2, preference=-1), "not -1"),
        (row(2, preference=float("nan")), "not nan"),
        (row(2, preference="1.5"), "not '1.5'"),
        (row(2, preference=True), "not True"),
        (row(1), 'rows 1 and 2 judge the same instruction, "Count to 1."'),
        (row(2, generator_2="other"), r'several names in "generator_2" \(mine, other\)'),
        (row(2, generator_1=None), 'rows without a name in "generator_1"'),
        (row(2, annotator="another"), r'several names in "annotator" \(a judge, another\)'),
        (row(2, annotator=""), 'rows without a name in "annotator"'),
        (row(2, output_2=None), 'row 2: "output_2" must be text, not None'),
        ({key: value for key, value in row(2).items() if key != "preference"}, "json:2: .*preference"),
        ("text", "json:2: "),
    ],
)
def test_damaged_rows(tmp_path: Path, second: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_annotations(write(tmp_path, [row(1), second]))


def test_other_generators_than_wanted(tmp_path: Path) -> None:
    file = write(tmp_path, [row(1)])
    with pytest.raises(UsageError, match='"generator_2" is mine, not yours; choose the file of yours'):
        read_annotations(file, model="yours")
    with pytest.raises(UsageError, match='"generator_1" is base, not basis'):
        read_annotations(file, baseline="basis")
    many = write(tmp_path, [row(number, generator_2=f"m{number}") for number in range(1, 6)])
    with pytest.raises(UsageError, match=r"\(m1, m2, m3, \.\.\.\)"):
        read_annotations(many)


def test_what_is_no_list_of_rows(tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    for text, sentence in (("[{", "is not JSON"), ('{"a": 1}', "must hold a list"), ("[]", "is empty")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=sentence):
            read_annotations(file)
    with pytest.raises(UsageError, match=r"missing\.json"):
        read_annotations(tmp_path / "missing.json")


def test_pairs_are_found_in_the_evaluation_set(tmp_path: Path) -> None:
    annotations = read_annotations(write(tmp_path, [row(3), row(1)]))
    assert annotations.positions_in([f"Count to {number}." for number in range(5)]) == [3, 1]
    with pytest.raises(UsageError, match='1 judged instructions of mine are not in the evaluation set, such as "Count'):
        annotations.positions_in(["Count to 3."])


def test_a_published_file(shared: Path) -> None:
    """Lengths and preferences are those of the compact table of the same annotations."""
    folder = shared / "data" / "alpaca_eval"
    annotations = read_annotations(folder / "annotations_claude-2.json.gz")
    with gzip.open(folder / "dev_annotations_compact.csv.gz", "rt", encoding="utf-8") as file:
        table = [line.rstrip().split(",") for line in file if line.startswith("claude-2,")]
    assert (annotations.baseline, annotations.annotator) == ("gpt4_1106_preview", "weighted_alpaca_eval_gpt4_turbo")
    assert len(table) == len(annotations.instructions) == 805
    assert [int(columns[3]) for columns in table] == list(annotations.lengths_baseline)
    assert [int(columns[4]) for columns in table] == list(annotations.lengths_model)
    assert [float(columns[5]) for columns in table] == list(annotations.preferences)
