"""The arguments of a checkable instruction, read from a row of a benchmark by what its checker asks for."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import islice


class Relation(StrEnum):
    """How a number of things compares with the number that an instruction names."""

    LESS_THAN = "less than"
    AT_LEAST = "at least"

    def holds(self, things: Iterable[object], number: int) -> bool:
        """Whether there are less than, or at least, `number` things; no more of them than that are looked at."""
        reached = sum(1 for _ in islice(things, number)) == number
        return reached == (self is Relation.AT_LEAST)


def read_arguments(checker: Callable[..., bool], given: Mapping[str, object]) -> dict[str, object]:
    """Return the keyword arguments of `checker` out of `given`, where what is empty, zero or None is not given.

    Raises ValueError if an argument is missing or of the wrong type, or if the checker does not know it.
    """
    given = {name: value for name, value in given.items() if value}
    wanted = dict(list(inspect.signature(checker).parameters.items())[1:])  # the first is the response
    if missing := wanted.keys() - given.keys():
        raise ValueError(f"the argument {min(missing)} is missing")
    if unknown := given.keys() - wanted.keys():
        raise ValueError(f"there is no argument {min(unknown)}")
    return {name: READERS[parameter.annotation](name, given[name]) for name, parameter in wanted.items()}


def _text(name: str, value: object) -> str:
    """Return a text as it is."""
    if not isinstance(value, str):
        raise ValueError(f"the argument {name} is {value!r}, not a text")
    return value


def _texts(name: str, value: object) -> tuple[str, ...]:
    """Return a list of texts as a tuple."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"the argument {name} is {value!r}, not a list of texts")
    return tuple(_text(name, each) for each in value)


def _number(name: str, value: object) -> int:
    """Return a whole number; tables whose columns have gaps hold it as 3.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value % 1:
        raise ValueError(f"the argument {name} is {value!r}, not a whole number above 0")
    return int(value)


def _relation(name: str, value: object) -> Relation:
    """Return a relation by its name."""
    if value not in tuple(Relation):
        raise ValueError(f"the argument {name} is {value!r}, neither 'less than' nor 'at least'")
    return Relation(str(value))


READERS: Mapping[object, Callable[[str, object], object]] = {
    str: _text,
    tuple[str, ...]: _texts,
    int: _number,
    Relation: _relation,
}
