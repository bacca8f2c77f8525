"""Models that judge responses: in this process, or behind a server."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from olmo2.base.errors import RunError
from olmo2.eval.respondent import run_each
from olmo2.eval.server_client import RequestFailed, ServerClient, first_choice, logprob_of, text_of, tokens_used
from olmo2.eval.task import JudgeQuestion, JudgeReply
from olmo2.inference.engine_base import EngineBase
from olmo2.inference.request import Completion, Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.tokenizer.chat_template import encode_chat

OnReply = Callable[[int, JudgeReply | str], None]
"""number of the question, and the reply or in one sentence why there is none"""
NO_ROOM = "the judge's context is too short for this response"


def ignore(number: int, reply: JudgeReply | str) -> None:
    """Leave a reply to whoever waits for all of them."""


class Judge(Protocol):
    """One that answers questions about responses."""

    name: str
    """for readers"""
    identity: str
    """what tells it from other judges"""
    is_remote: bool
    """whether a server runs it"""

    def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
        """Return the reply to every question, or in one sentence why there is none; `on_reply` is told of each."""


class EngineJudge:
    """A judge in this process, loaded when it is asked for the first time."""

    is_remote = False

    def __init__(self, name: str, load: Callable[[], EngineBase], *, identity: str = "") -> None:
        self.name, self.load, self.identity = name, load, identity or name

    @cached_property
    def engine(self) -> EngineBase:
        """The engine with the judge's model."""
        return self.load()

    def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
        """Return the reply to every question; one that has no room in the judge's context has none."""
        found: list[JudgeReply | str] = [NO_ROOM] * len(questions)
        asked: list[tuple[int, Request]] = []
        for number, question in enumerate(questions):
            ids = self.prompt_ids(question)
            if 0 < len(ids) <= self.engine.longest - question.max_new_tokens:
                sampling = SamplingSettings(max_new_tokens=question.max_new_tokens)
                wants_first = question.top_logprobs > 0
                asked.append((number, Request(ids, sampling, logprobs=wants_first, top_logprobs=question.top_logprobs)))
            else:
                on_reply(number, NO_ROOM)

        def on_end(place: int, ended: Completion | Exception) -> None:
            number, request = asked[place]
            if isinstance(ended, Exception):
                found[number] = str(ended)
            else:
                found[number] = self.as_reply(ended, len(request.prompt))
            on_reply(number, found[number])

        run_each(self.engine, (request for _, request in asked), on_end)
        return found

    def as_reply(self, completion: Completion, prompt_tokens: int = 0) -> JudgeReply:
        """Return what the judge has written. The texts of tokens keep the spaces before them: " m" is not "m"."""
        text_of_token = self.engine.tokenizer.bytes_of_tokens
        first: dict[str, float] = {}
        for token, logprob in (completion.top_logprobs[0] if completion.top_logprobs else {}).items():
            # The likeliest comes first; others of the same text are parts of characters, or control tokens.
            first.setdefault(text_of_token.get(token, b"").decode("utf-8", "replace"), logprob)
        return JudgeReply(completion.text, first, prompt_tokens, len(completion.token_ids))

    def prompt_ids(self, question: JudgeQuestion) -> list[int]:
        """Return a question in tokens."""
        prompt, tokenizer = question.prompt, self.engine.tokenizer
        if not prompt.turns:
            return tokenizer.encode(prompt.text)
        return encode_chat(tokenizer, prompt.messages, add_generation_prompt=True, prefix=prompt.text)[0]


class ServerJudge:
    """A judge behind a server."""

    is_remote = True

    def __init__(self, client: ServerClient) -> None:
        self.client = client
        self.name = client.model
        self.identity = f"{client.url} {self.name}"

    def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
        """Return the reply to every question; where the server stops answering, none to all that follow."""
        found: list[JudgeReply | str] = [""] * len(questions)

        def on_found(number: int, reply: JudgeReply | str) -> None:
            found[number] = reply
            on_reply(number, reply)

        try:
            self.client.each(questions, self.ask, on_found)
        except RunError as error:
            return [reply or str(error) for reply in found]
        return found

    def ask(self, question: JudgeQuestion) -> JudgeReply:
        """Return the server's reply to one question."""
        body: dict[str, Any] = {"model": self.name, "max_tokens": question.max_new_tokens}
        body["temperature"] = question.temperature
        is_chat, wants_first = bool(question.prompt.turns), question.top_logprobs > 0
        if is_chat:
            path = "chat/completions"
            body["messages"] = question.prompt.messages
            body |= {"logprobs": True, "top_logprobs": question.top_logprobs} if wants_first else {}
        else:
            path, body["prompt"] = "completions", question.prompt.text
            body |= {"logprobs": question.top_logprobs} if wants_first else {}
        value = self.client.call(path, body)
        choice = first_choice(value)
        text = text_of(choice, is_chat=is_chat)
        first = first_token_of(choice, is_chat=is_chat) if wants_first else {}
        return JudgeReply(text, first, *tokens_used(value))


def first_token_of(choice: Mapping[str, Any], *, is_chat: bool) -> dict[str, float]:
    """Return the likeliest first tokens of a server's answer with their log-probabilities. Raises RequestFailed."""
    try:
        if is_chat:
            likeliest = choice["logprobs"]["content"][0]["top_logprobs"]
            return {str(each["token"]): logprob_of(each["logprob"]) for each in likeliest}
        return {str(token): logprob_of(each) for token, each in choice["logprobs"]["top_logprobs"][0].items()}
    except (LookupError, TypeError, AttributeError):
        raise RequestFailed("the judge's server does not return the likeliest tokens") from None
