"""The columns of the published tables, and the rows that OLMo 2 was published with.

Source   OLMo 2 (arXiv 2501.00656), tables of the instruct models, as transcribed by third parties: the mean of a row's
         ten columns is its Avg but for rounding. FLOP is that of the base model, from the table of the base models.
The transcribed rows of the base models are not here: one of them contradicts its own Avg.
"""

from dataclasses import dataclass
from typing import Literal

Suite = Literal["instruct", "base", "tiny"]

COLUMNS: dict[Suite, tuple[str, ...]] = {  # in the published order, after Avg and FLOP
    "instruct": ("AE2", "BBH", "DROP", "GSM8K", "IFE", "MATH", "MMLU", "Safety", "PQA", "TQA"),
    "base": ("MMLU", "ARC-C", "HSwag", "WinoG", "NQ", "DROP", "AGIEval", "GSM8K", "MMLU-Pro", "TriviaQA"),
    "tiny": ("Problems", "Choices", "Orders"),  # our own
}


@dataclass(frozen=True)
class PublishedRow:
    """One model of a published table, in percent."""

    name: str
    average: float
    flop_1e23: float | None  # as printed; None = not printed
    values: tuple[float, ...]  # in the order of the suite's columns


PUBLISHED_ROWS: dict[Suite, tuple[PublishedRow, ...]] = {
    "instruct": (
        PublishedRow("OLMo 2 1B Instruct", 42.7, None, (9.1, 35.0, 34.6, 68.3, 70.1, 20.7, 40.0, 87.6, 12.9, 48.7)),
        PublishedRow("OLMo 2 7B Instruct", 56.5, 1.8, (29.1, 51.4, 60.5, 85.1, 72.3, 32.5, 61.3, 93.3, 23.2, 56.5)),
        PublishedRow("OLMo 2 13B Instruct", 63.5, 4.6, (39.5, 63.0, 71.5, 87.4, 82.6, 39.2, 68.5, 89.7, 28.8, 64.3)),
        PublishedRow("OLMo 2 32B Instruct", 68.8, 13.0, (42.8, 70.6, 78.0, 87.6, 85.6, 49.7, 77.3, 85.9, 37.5, 73.2)),
    ),
    "base": (),
    "tiny": (),
}
