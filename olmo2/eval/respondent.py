"""Who answers questions: one of our engines here; `server_respondent` has the one that asks a server."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from olmo2.eval.questions import Question
from olmo2.inference.engine_base import EngineBase
from olmo2.inference.request import Completion, Request
from olmo2.inference.sampling import SamplingSettings

MOST_SUBMITTED = 4096  # requests that an engine holds at a time: enough to be busy, few enough for the memory


@dataclass(frozen=True)
class Answer:
    """What came of one question; `error` instead of all else if nothing did."""

    text: str = ""
    logprob: float = 0.0  # nats, of the tokens asked for
    num_tokens: int = 0  # written, or measured
    is_unfinished: bool = False  # the answer reached its limit
    error: str = ""


OnAnswer = Callable[[int, Answer], None]
"""number of the question, and its answer"""


class Respondent(Protocol):
    """A model that answers questions."""

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        """Answer all questions, in any order."""


class EngineRespondent:
    """A model in this process."""

    def __init__(self, engine: EngineBase, *, seed: int = 0) -> None:
        self.engine, self.seed = engine, seed

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        """Answer all questions in their order: an item's options, which begin alike, share what was computed."""

        def on_end(number: int, found: Completion | Exception) -> None:
            on_answer(number, as_answer(questions[number], found))

        run_each(self.engine, map(self.request, questions), on_end)

    def request(self, question: Question) -> Request:
        """Return what the engine is asked; always greedy, as all published settings are."""
        if question.score_from is not None:
            return Request(list(question.ids), score_from=question.score_from, is_scored_only=True)
        sampling = SamplingSettings(
            max_new_tokens=question.max_new_tokens, stop=list(question.task.stop), seed=self.seed
        )
        return Request(list(question.ids), sampling)


def run_each(
    engine: EngineBase, requests: Iterable[Request], on_end: Callable[[int, Completion | Exception], None]
) -> None:
    """Answer requests, however many, and tell of each by its number how it ended; one that fails stops no other.

    Raises UsageError for a request that can never be answered.
    """
    waiting = enumerate(requests)
    number_of: dict[int, int] = {}
    try:
        while True:
            for number, request in islice(waiting, MOST_SUBMITTED - len(number_of)):
                number_of[engine.submit(request)] = number
            if not number_of:
                return
            for update in engine.step():
                ended = update.error or update.completion
                if ended is not None:
                    on_end(number_of.pop(update.id), ended)
    finally:  # an interrupt leaves an engine that can go on
        for id in number_of:
            engine.cancel(id)


def as_answer(question: Question, found: Completion | Exception) -> Answer:
    """Return what an engine has found, as an answer."""
    if isinstance(found, Exception):
        return Answer(error=str(found))
    if question.score_from is None:
        return Answer(found.text, 0.0, len(found.token_ids), found.finish_reason == "length")
    logprob, num_tokens = math.fsum(found.prompt_logprobs), len(found.prompt_logprobs)
    if num_tokens != question.num_scored or not math.isfinite(logprob):
        return Answer(error=f"the engine measured {num_tokens} of {question.num_scored} tokens: {logprob}")
    return Answer(logprob=logprob, num_tokens=num_tokens)
