"""AlpacaEval's annotations files: pairs of responses to the same instructions, with the judge's preferences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from olmo2.base.errors import UsageError
from olmo2.eval.sources import read_rows
from olmo2.eval.win_rate import DRAW

FIELDS = ("instruction", "output_1", "output_2", "generator_1", "generator_2", "preference")


@dataclass(frozen=True)
class Annotations:
    """The judged pairs of one model and the baseline, in the order of their file."""

    model: str  # "generator_2" of the file
    baseline: str  # "generator_1"
    annotator: str  # name of the judge's setting; empty where the file has none
    instructions: tuple[str, ...]
    preferences: tuple[float, ...]  # 1 = the baseline's response is better, 2 = the model's, 1.5 = a draw
    lengths_model: tuple[int, ...]  # characters
    lengths_baseline: tuple[int, ...]

    def positions_in(self, instructions: Sequence[str]) -> list[int]:
        """Return where each pair's instruction stands in the evaluation set, as lists by instruction need it.

        Not every published file holds all instructions: a pair's place in the file says nothing of its instruction.
        Raises UsageError for an instruction that is not in the set.
        """
        places = {instruction: place for place, instruction in enumerate(instructions)}
        unknown = [instruction for instruction in self.instructions if instruction not in places]
        if unknown:
            raise UsageError(
                f"{len(unknown)} judged instructions of {self.model} are not in the evaluation set, such as "
                f"{shortened(unknown[0])}; judge the responses to this set"
            )
        return [places[instruction] for instruction in self.instructions]


def read_annotations(file: Path, *, model: str = "", baseline: str = "") -> Annotations:
    """Read an annotations.json of AlpacaEval, or the same gzip-compressed (.json.gz).

    model, baseline: names that the file must be about; any if empty.
    Raises UsageError for a damaged file: it is not JSON, a field or a preference is missing, preferences are outside
    1 to 2 (0 is a draw), an instruction occurs twice, or generators or annotators differ between its rows.
    """
    rows = read_rows(file, FIELDS)
    instructions = [text_of(file, number, row, "instruction") for number, row in enumerate(rows, 1)]
    require_unique(file, instructions)
    return Annotations(
        model=only_name(file, rows, "generator_2", model),
        baseline=only_name(file, rows, "generator_1", baseline),
        annotator=only_name(file, rows, "annotator", "") if any(row.get("annotator") for row in rows) else "",
        instructions=tuple(instructions),
        preferences=tuple(preference_of(file, number, row) for number, row in enumerate(rows, 1)),
        lengths_model=tuple(len(text_of(file, number, row, "output_2")) for number, row in enumerate(rows, 1)),
        lengths_baseline=tuple(len(text_of(file, number, row, "output_1")) for number, row in enumerate(rows, 1)),
    )


def text_of(file: Path, number: int, row: Mapping[str, object], field: str) -> str:
    """Return a field that must be text."""
    value = row[field]
    if not isinstance(value, str):
        raise UsageError(f'{file}: row {number}: "{field}" must be text, not {value!r}; restore the file')
    return value


def preference_of(file: Path, number: int, row: Mapping[str, object]) -> float:
    """Return the judge's preference in a row."""
    value = row["preference"]
    if value is None:
        raise UsageError(f"{file}: row {number} has no preference; judge this pair again, or remove the row")
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or 1 <= value <= 2):
        raise UsageError(f"{file}: row {number}: a preference must be a number from 1 to 2, not {value!r}")
    return float(value) or DRAW


def require_unique(file: Path, instructions: Sequence[str]) -> None:
    """Raise UsageError if two rows have the same instruction."""
    first: dict[str, int] = {}
    for number, instruction in enumerate(instructions, 1):
        if first.setdefault(instruction, number) != number:
            raise UsageError(
                f"{file}: rows {first[instruction]} and {number} judge the same instruction, {shortened(instruction)}; "
                "keep one of them"
            )


def only_name(file: Path, rows: Sequence[Mapping[str, object]], field: str, wanted: str) -> str:
    """Return the one name that all rows have in a field, which must be the wanted one if there is one."""
    names = {value if isinstance(value, str) else "" for value in (row.get(field) for row in rows)}
    if "" in names:
        raise UsageError(f'{file} has rows without a name in "{field}"; restore the file')
    if len(names) > 1:
        raise UsageError(f'{file} has several names in "{field}" ({listed(names)}); put them into files of their own')
    name = names.pop()
    if wanted and name != wanted:
        raise UsageError(f'{file}: "{field}" is {name}, not {wanted}; choose the file of {wanted}')
    return name


def listed(names: set[str]) -> str:
    """Return the first few of some names."""
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def shortened(text: str) -> str:
    """Return a text's beginning in quotes."""
    return f'"{text if len(text) <= 60 else text[:57] + "..."}"'
