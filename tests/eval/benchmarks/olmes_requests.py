"""What a model is asked, to be compared with what OLMES's own code (5a51f50) asks over the same rows.

olmes_requests.json holds what that code rendered: of real rows their number and hashes ("real"), of rows of our own
invention, which stand in the tests, every request without the examples before it ("invented").
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from olmo2.eval.sources import Row, Source
from olmo2.eval.task import AnyItem, Likelihood, Ranked, Task, requests_of
from olmo2.eval.task_list import find_task

FROZEN = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def write_rows(folder: Path, name: str, rows: Sequence[Row]) -> None:
    """Write rows as a file of JSON lines; `name` has no suffix."""
    file = folder / f"{name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def load(name: str, folder: Path) -> tuple[list[Any], list[str]]:
    """Return the items of a task and the notes about where they come from."""
    source = Source(folder)
    return list(find_task(name).load(source)), source.notes


def hashes(task: Task, items: Sequence[AnyItem], answers: Sequence[object] | None = None) -> dict[str, object]:
    """Return the number of items, and SHA-256 of all requests and answers, one group after another.

    A line of requests is [group, [[prompt, [continuation, ...]], ...], max_new_tokens, stop] as JSON, a line of answers
    an answer, which for ranked items is the place of the right option.
    """
    if answers is None:
        answers = [place_of_answer(item) if isinstance(item, Ranked) else item.answer for item in items]
    pairs = sorted(zip(items, answers, strict=True), key=lambda pair: pair[0].group)
    return {
        "items": len(items),
        "requests": sha256_of([canonical(task, item) for item, _ in pairs]),
        "answers": sha256_of([answer for _, answer in pairs]),
    }


def canonical(task: Task, item: AnyItem) -> list[Any]:
    """Return an item's requests, in which a prompt that several options follow stands once."""
    prompts: list[tuple[Any, list[object]]] = []
    for row in requests_of(task, item):
        prompt = row["prompt"] if "prompt" in row else {key: row[key] for key in ("messages", "assistant_prefix")}
        if not prompts or prompts[-1][0] != prompt:
            prompts.append((prompt, []))
        if "continuation" in row:
            prompts[-1][1].append(row["continuation"])
    return [item.group, prompts, row.get("max_new_tokens"), row.get("stop")]


def sha256_of(values: Sequence[object]) -> str:
    """Return the hash of values as lines of JSON."""
    return hashlib.sha256("".join(json.dumps(value) + "\n" for value in values).encode()).hexdigest()


def likelihoods(*logprobs: float) -> list[Likelihood]:
    """Return what was measured of options of one token and two characters each."""
    return [Likelihood(logprob, 1, 2, 2) for logprob in logprobs]


def place_of_answer(item: Ranked) -> int:
    """Return the place of the right option, which the log-probability of the right option tells."""
    scores = item.grade(likelihoods(*(-1.0 - place for place in range(len(item.options)))))
    return round(-1 - scores["correct_logprob"])


def assert_asks_as_olmes(name: str, items: Sequence[AnyItem]) -> None:
    """Compare the requests for rows of our own with OLMES's; before the question, there are examples of our own."""
    task, frozen = find_task(name), FROZEN["invented"][name]
    assert len(items) == len(frozen)
    for item, (questions, *limits) in zip(items, frozen, strict=True):
        _, prompts, *our_limits = canonical(task, item)
        assert our_limits == limits
        assert len(prompts) == len(questions)
        for (prompt, ours), (question, prefix, continuations) in zip(prompts, questions, strict=True):
            is_text = isinstance(prompt, str)
            asked = prompt if is_text else prompt["messages"][-1]["content"]
            assert asked == question or asked.endswith(f"\n\n{question}")
            assert prefix == ("" if is_text else prompt["assistant_prefix"])
            assert ours == continuations
