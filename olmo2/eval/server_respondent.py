"""A model behind a server as the one who answers questions.

With its tokenizer, prompts are sent as tokens and everything can be asked. Without, conversations alone can be sent,
to be laid out by the server, and continuations cannot be measured.
"""

from collections.abc import Sequence
from typing import Any

from olmo2.base.errors import RunError, UsageError
from olmo2.eval.questions import Question
from olmo2.eval.respondent import Answer, OnAnswer
from olmo2.eval.server_client import RequestFailed, ServerClient, first_choice, logprob_of, text_of, tokens_used
from olmo2.eval.task import AnyItem, Judged, Prompt, Task, Written
from olmo2.tokenizer.tokenizer import Tokenizer

COUNTED_TEXT = "Twelve émigrés paid $1,234.56 for unforgettable 蝴蝶; def f(x):\n    return x**2  # naïve\n" * 2
REFUSALS = (400, 404, 405, 413, 422, 501)  # of texts as prompts


class ServerRespondent:
    """A model behind a server."""

    def __init__(self, client: ServerClient, *, has_tokens: bool, seed: int = 0) -> None:
        """Take a server. `has_tokens` tells whether questions come with tokens of the model's own tokenizer."""
        self.client, self.has_tokens, self.seed = client, has_tokens, seed

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        """Answer all questions; what cannot be answered has an error. Raises RunError if the server does not answer."""

        def found(number: int, answer: Answer | str) -> None:
            on_answer(number, Answer(error=answer) if isinstance(answer, str) else answer)

        self.client.each(questions, self.ask, found)

    def ask(self, question: Question) -> Answer:
        """Return the server's answer to one question."""
        if question.score_from is not None:
            return self.measure(question, question.score_from)
        body: dict[str, Any] = {"model": self.client.model, "temperature": 0, "seed": self.seed}
        stops = question.task.stop
        if question.max_new_tokens:
            body["max_tokens"] = question.max_new_tokens
        if stops:
            body["stop"] = list(stops)
        if self.has_tokens:
            path, body["prompt"] = "completions", list(question.ids)
        else:
            path, body["messages"] = "chat/completions", prompt_of(question).messages
        value = self.client.call(path, body)
        choice = first_choice(value)
        text = text_of(choice, is_chat=not self.has_tokens)
        is_unfinished = choice["finish_reason"] == "length"
        end = min((place for place in map(text.find, stops) if place >= 0), default=None)  # not all servers know stops
        return Answer(text[:end], 0.0, tokens_used(value)[1], is_unfinished and end is None)

    def measure(self, question: Question, start: int) -> Answer:
        """Return the log-probability of a continuation."""
        body = {"model": self.client.model, "prompt": list(question.ids), "max_tokens": 0, "echo": True}
        value = self.client.call("completions", {**body, "logprobs": 1, "temperature": 0})
        choice = first_choice(value)
        told = choice.get("logprobs")
        logprobs = told.get("token_logprobs") if isinstance(told, dict) else None
        # The first token of a prompt has no log-probability: where there is one, it is of tokens that were written.
        if not isinstance(logprobs, list) or not logprobs or logprobs[0] is not None:
            raise RequestFailed("the server does not return log-probabilities of the prompt")
        if len(logprobs) < len(question.ids):
            raise RequestFailed(f"the server returns {len(logprobs)} log-probabilities of {len(question.ids)} tokens")
        if len(logprobs) > len(question.ids) + max(1, tokens_used(value)[1]):
            raise RequestFailed(f"the server returns {len(logprobs)} log-probabilities of {len(question.ids)} tokens")
        usage = value.get("usage")
        num_read = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        if type(num_read) is int and num_read != len(question.ids):
            raise RequestFailed(
                f"the server puts tokens of its own before a prompt: {num_read}, not {len(question.ids)}"
            )
        total = sum(map(logprob_of, logprobs[start : len(question.ids)]))
        return Answer(logprob=total, num_tokens=question.num_scored)


def require_own_tokenizer(client: ServerClient, tokenizer: Tokenizer, name: str) -> None:
    """Raise UsageError if the server makes more or fewer tokens of a text than the tokenizer that is named.

    A server that does not read texts, or does not count, is believed. One may put a token before each text.
    """
    body = {"model": client.model, "prompt": COUNTED_TEXT, "max_tokens": 1, "temperature": 0}
    try:
        usage = client.call("completions", body).get("usage")
    except RequestFailed as error:
        if error.status in REFUSALS:
            return
        raise RunError(f"{client.url} does not answer: {error}") from None
    theirs = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    ours = len(tokenizer.encode(COUNTED_TEXT))
    if type(theirs) is int and theirs not in (ours, ours + 1):
        raise UsageError(
            f"tokenizer {name} is not that of the server's model: it makes {ours} tokens of a text of which the server "
            f"makes {theirs}; name the model's own"
        )


def prompt_of(question: Question) -> Prompt:
    """Return the prompt of a question to be answered in writing."""
    assert isinstance(question.item, Written | Judged), "continuations are measured in tokens"
    return question.item.prompt


def require_conversations(task: Task, items: Sequence[AnyItem]) -> None:
    """Raise UsageError for a task that cannot be asked without the model's tokenizer."""
    for item in items:
        if not isinstance(item, Written | Judged):
            raise UsageError(f"{task.name} measures continuations: name the model's tokenizer with --tokenizer=FOLDER")
        if not item.prompt.turns or item.prompt.text:
            what = "begins the answer" if item.prompt.turns else "continues a text"
            raise UsageError(f"{task.name} {what}, which needs the model's tokenizer: name it with --tokenizer=FOLDER")
