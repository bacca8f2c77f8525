"""What a benchmark is: items, each with what a model is given and how its answer is graded, and how they are averaged.

An item is answered in writing (`Written`), by the likelihoods of given continuations (`Ranked`), or in writing for a
judge to read (`Judged`). Its `grade` is a pure function, so that stored answers can be graded again without a model.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from olmo2.eval.sources import Source
    from olmo2.eval.statistics import Estimate

Scores = Mapping[str, float]
"""metric -> value of one item, 0 to 1 unless the metric's name says otherwise"""

Turn = tuple[Literal["system", "user", "assistant"], str]


@dataclass(frozen=True)
class Prompt:
    """What a model is given: a text to continue, or a conversation and the beginning of its answer."""

    text: str = ""
    """of a conversation: what the assistant's answer begins with"""
    turns: tuple[Turn, ...] = ()

    def extended(self, continuation: str) -> "Prompt":
        """Return the prompt with a continuation behind it."""
        return Prompt(self.text + self.following(continuation), self.turns)

    def following(self, continuation: str) -> str:
        """Return a continuation as it follows the prompt: one that begins an answer has no space before it (OLMES)."""
        return continuation.lstrip() if self.turns and not self.text else continuation

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns as chat templates and servers take them."""
        return [{"role": role, "content": content} for role, content in self.turns]

    @property
    def row(self) -> dict[str, object]:
        """The prompt as JSON."""
        return {"messages": self.messages, "assistant_prefix": self.text} if self.turns else {"prompt": self.text}


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a continuation."""

    logprob: float  # nats, summed over its tokens
    num_tokens: int
    num_chars: int  # with the space before it, if it is measured with one
    num_bytes: int


@dataclass(frozen=True)
class Option:
    """A continuation whose likelihood is asked for."""

    prompt: Prompt
    continuation: str

    def likelihood(self, logprob: float, num_tokens: int) -> Likelihood:
        """Return what was measured of it."""
        measured = self.prompt.following(self.continuation)
        return Likelihood(logprob, num_tokens, len(measured), len(measured.encode()))


@dataclass(frozen=True)
class Item:
    """One question of a benchmark."""

    doc_id: int
    """position in the task's data, from 0"""
    question: str
    """as it is asked, without examples: for readers, and to look for it in training data"""
    answer: str
    """the right one, or one of them"""
    group: str = field(default="", kw_only=True)
    """subject, where averages are taken over subjects"""


@dataclass(frozen=True)
class Written(Item):
    """An item that is answered in writing."""

    prompt: Prompt
    grade: Callable[[str], Scores]


@dataclass(frozen=True)
class Ranked(Item):
    """An item that is answered by the likelihoods of its options."""

    options: tuple[Option, ...]
    grade: Callable[[Sequence[Likelihood]], Scores]


@dataclass(frozen=True)
class JudgeReply:
    """What a judge has said: its text, and the likeliest first tokens with their log-probabilities."""

    text: str
    first_token: Mapping[str, float]
    prompt_tokens: int = field(default=0, compare=False)
    """that it read, 0 if a server does not tell; for costs, as is the next"""
    completion_tokens: int = field(default=0, compare=False)


@dataclass(frozen=True)
class JudgeQuestion:
    """What a judge is asked about one response."""

    prompt: Prompt
    max_new_tokens: int
    top_logprobs: int = 0
    temperature: float = 0.0


@dataclass(frozen=True)
class Judged(Item):
    """An item whose answer is written, and then judged by another model."""

    prompt: Prompt
    ask: Callable[[str], JudgeQuestion]
    """response -> what the judge is asked"""
    grade: Callable[[str, JudgeReply], Scores]
    """response, reply -> scores. Raises ValueError for a reply that says nothing: such an item has no score"""
    grade_offline: Callable[[str], Scores] | None = None
    """response -> scores by looking at words, where there is no judge"""


AnyItem = Written | Ranked | Judged


@dataclass(frozen=True)
class Summary:
    """Averages that are more than means over items."""

    scores: Mapping[str, "Estimate"]
    notes: tuple[str, ...] = ()
    """why they are not the published setting"""
    warnings: tuple[str, ...] = ()
    """what else a reader has to know"""


@dataclass(frozen=True)
class Task:
    """A benchmark in one setting."""

    name: str
    version: int
    """counts up whenever the same answers would get other scores"""
    summary: str
    load: Callable[["Source"], Sequence[AnyItem]]
    metric: str
    """the one that goes into tables"""
    num_items: int
    """that the published numbers were measured on"""
    average: Literal["items", "groups"] = "items"
    weights: Mapping[str, str] = field(default_factory=dict)
    """metric -> the metric that weighs it; others are plain means"""
    max_new_tokens: int = 0
    stop: tuple[str, ...] = ()
    summarise: Callable[["Source", Sequence[AnyItem], Mapping[int, Scores]], Summary] | None = None
    """all items, and the scores of those that have any by doc_id -> further averages"""
    aliases: tuple[str, ...] = ()
    """names of this setting elsewhere"""

    @property
    def file_name(self) -> str:
        """The name of its file of answers, without suffix."""
        return self.name.replace(":", "-")


def requests_of(task: Task, item: AnyItem) -> Iterator[dict[str, object]]:
    """Yield what a model is asked for one item, as JSON."""
    for prompt, rest in prompts_of(task, item):
        yield {"task": task.name, "doc_id": item.doc_id, **prompt.row, **rest}


def prompts_of(task: Task, item: AnyItem) -> Iterator[tuple[Prompt, dict[str, object]]]:
    """Yield the prompts of an item, one for each option if it has any, and what is asked of each besides."""
    if isinstance(item, Ranked):
        for number, option in enumerate(item.options):
            yield option.prompt, {"option": number, "continuation": option.continuation}
    else:
        yield item.prompt, {"max_new_tokens": task.max_new_tokens, "stop": list(task.stop)}


def prompt_hash(task: Task, items: Sequence[AnyItem]) -> str:
    """Return a hash of all that a model is asked, and of the right answers."""
    digest = hashlib.sha256()
    encode = json.JSONEncoder(sort_keys=True).encode
    for item in items:
        rows: list[object] = [{"task": task.name, "doc_id": item.doc_id, "answer": item.answer, "group": item.group}]
        before: Prompt | None = None
        for prompt, rest in prompts_of(task, item):
            if prompt != before:  # most options follow the prompt of the one before, which may be long
                rows.append(prompt.row)
            rows.append(rest)
            before = prompt
        digest.update(encode(rows).encode())
    return digest.hexdigest()[:16]
