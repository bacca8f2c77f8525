"""Responses that were stored before, as JSON lines {"doc_id": 0, "response": "..."}, for grading without a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olmo2.base.errors import UsageError
from olmo2.corpus.document import read_json_lines
from olmo2.eval.answer_file import StoredAnswer
from olmo2.eval.server_client import LEAST
from olmo2.eval.task import AnyItem, Ranked

ROUNDING_NATS = 0.01  # that a computed log-probability may lie above 0


def read_responses(file: Path, items: Sequence[AnyItem]) -> dict[int, StoredAnswer]:
    """Return the responses by doc_id; the file may be gzip-compressed (.gz).

    A row without a response that has an "error", as `evaluate` writes for an item that the model did not answer, is no
    response either. Raises UsageError, naming the line, for one that is no JSON object in UTF-8, an id that the task
    does not have or that comes twice, and what is no response to this item.
    """
    if not file.is_file():
        raise UsageError(f"there is no file of responses {file}")
    item_of = {item.doc_id: item for item in items}
    line_of: dict[int, int] = {}
    found: dict[int, StoredAnswer] = {}
    for number, row in read_json_lines(file, ".gz" if file.suffix == ".gz" else ""):
        try:
            doc_id = doc_id_of(row)
            if doc_id not in item_of:
                raise UsageError(f"the task has no item {doc_id}; its items are 0 to {len(items) - 1}")
            if line_of.setdefault(doc_id, number) != number:
                raise UsageError(f"item {doc_id} was there before, in line {line_of[doc_id]}; keep one of the two")
            found[doc_id] = answer_of(row, item_of[doc_id])
        except UsageError as error:
            raise UsageError(f"{file}:{number}: {error}") from None
    if not found:
        raise UsageError(
            f'{file} is empty; it must hold responses, such as {{"doc_id": 0, "response": "72"}}, one a line'
        )
    return found


def doc_id_of(row: Any) -> int:
    """Return which item a row is about."""
    doc_id = row.get("doc_id") if isinstance(row, Mapping) else None
    if not isinstance(doc_id, int) or isinstance(doc_id, bool):
        raise UsageError('a row needs a whole number under "doc_id", the position in the task\'s data from 0')
    return doc_id


def answer_of(row: Any, item: AnyItem) -> StoredAnswer:
    """Return the answer that a row holds."""
    key = "logprobs" if isinstance(item, Ranked) else "response"
    if key not in row and isinstance(row.get("error"), str):
        return StoredAnswer(item.doc_id, error=row["error"])
    if isinstance(item, Ranked):
        logprobs, num_tokens = measured(row, len(item.options))
        return StoredAnswer(item.doc_id, logprobs=logprobs, num_tokens=num_tokens, is_cut=row.get("is_cut") is True)
    if not isinstance(row.get("response"), str):
        raise UsageError('a row needs a text under "response"')
    num_tokens = row.get("num_tokens", [])
    return StoredAnswer(
        item.doc_id,
        row["response"],
        num_tokens=tuple(num_tokens) if isinstance(num_tokens, list) and all(map(is_count, num_tokens)) else (),
        is_unfinished=row.get("is_unfinished") is True,
        is_cut=row.get("is_cut") is True,
    )


def measured(row: Mapping[str, Any], num_options: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the log-probabilities of a ranked item's options and their numbers of tokens."""
    logprobs, num_tokens = row.get("logprobs"), row.get("num_tokens")
    if not isinstance(logprobs, list) or len(logprobs) != num_options or not all(map(is_logprob, logprobs)):
        raise UsageError(
            f'a row needs {num_options} numbers under "logprobs", the natural logarithm of each option\'s probability: '
            "finite, and not above 0"
        )
    if not isinstance(num_tokens, list) or len(num_tokens) != num_options or not all(map(is_count, num_tokens)):
        raise UsageError(f'a row needs {num_options} whole numbers under "num_tokens", the length of each option')
    return tuple(map(float, logprobs)), tuple(num_tokens)


def is_logprob(value: object) -> bool:
    """Whether a value of JSON is a finite log-probability."""
    return type(value) in (int, float) and LEAST < value <= ROUNDING_NATS  # type: ignore[operator]


def is_count(value: object) -> bool:
    """Whether a value of JSON is a whole number from 0 on."""
    return type(value) is int and value >= 0
