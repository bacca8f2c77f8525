"""Steps that a run is told to leave out, such as those around a spike: ``["1200-1210", "5000"]``."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

RANGE_PATTERN = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


class StepRanges:
    """The steps of some ranges, both ends included: ``step in ranges``."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Raise ValueError with one sentence for a text that is no range."""
        self.ranges = [parse_range(text) for text in texts]

    def __contains__(self, step: int) -> bool:
        return any(step in steps for steps in self.ranges)


def parse_range(text: str) -> range:
    """Return the steps of ``1200-1210`` or ``5000``."""
    match = RANGE_PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no range of steps; write one step as 5000 and several as 1200-1210")
    first, last = int(match[1]), int(match[2] or match[1])
    if first < 1:
        raise ValueError(f"{text!r}: steps count from 1")
    if last < first:
        raise ValueError(f"{text!r} ends before it begins; write {last}-{first}")
    return range(first, last + 1)


def as_texts(value: Any) -> Any:
    """Take the numbers of a list for texts: YAML reads 5000 as a number and 1200-1210 as a text."""
    if not isinstance(value, list):
        return value
    return [str(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in value]


def checked(texts: list[str]) -> list[str]:
    """Return the texts as they are, once they have proven to be ranges."""
    StepRanges(texts)
    return texts


StepRangeTexts = Annotated[list[str], BeforeValidator(as_texts), AfterValidator(checked)]
"""The type of a setting that holds ranges of steps."""
