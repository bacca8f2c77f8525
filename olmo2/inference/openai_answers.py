"""What OpenAI's endpoints answer: objects for whole answers and for the pieces of a stream, and for errors."""

import codecs
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from olmo2.inference.request import Completion, Request, Update
from olmo2.tokenizer.tokenizer import Tokenizer

Answer = dict[str, Any]


def error_object(message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> Answer:  # fmt: skip
    """Return an error in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Cursor:
    """A place in a text that grows by tokens, which may end within a character."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.place = 0

    def pass_over(self, token: bytes) -> int:
        """Go on behind a token; return the number of whole characters before it."""
        start = self.place
        self.place += len(self.decoder.decode(token))
        return start


class AnswerWriter:
    """Writes the answers to one request: `is_chat` is about /v1/chat/completions, else /v1/completions."""

    def __init__(
        self, tokenizer: Tokenizer, model: str, requests: Sequence[Request], *, is_chat: bool, echo: bool = False
    ) -> None:
        self.tokenizer, self.model, self.requests, self.is_chat, self.echo = tokenizer, model, requests, is_chat, echo
        self.id = f"{'chatcmpl' if is_chat else 'cmpl'}-{uuid.uuid4().hex}"
        self.created = int(time.time())
        self.cursors = [Cursor() for _ in requests]

    def head(self, *, is_piece: bool) -> Answer:
        """Return what every object of this answer begins with, the pieces of a stream and the whole."""
        kind = ("chat.completion.chunk" if is_piece else "chat.completion") if self.is_chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def whole(self, completions: Sequence[Completion]) -> Answer:
        """Return the answer in one object."""
        choices = [self.choice(place, completion) for place, completion in enumerate(completions)]
        return {**self.head(is_piece=False), "choices": choices, "usage": self.usage(completions)}

    def choice(self, place: int, completion: Completion) -> Answer:
        """Return one whole choice."""
        request = self.requests[place]
        values: Answer = {"index": place, "finish_reason": completion.finish_reason, "logprobs": None}
        written = completion.token_ids, completion.logprobs, completion.top_logprobs
        if self.is_chat:
            values["message"] = {"role": "assistant", "content": completion.text, "refusal": None}
            if request.logprobs:
                values["logprobs"] = self.chat_logprobs(*written)
            return values
        values["text"] = self.echoed(request) + completion.text
        if request.logprobs:
            values["logprobs"] = self.text_logprobs(
                *self.with_prompt(request, completion, *written),
                cursor=Cursor(),
                num_echoed=len(request.prompt) if self.echo else 0,
            )
        return values

    def first_pieces(self) -> list[Answer]:
        """Return what a stream begins with: the role of each message, or the prompts that are echoed."""
        if self.is_chat:
            delta = {"role": "assistant", "content": "", "refusal": None}
            return [self.piece(place, {"delta": delta}) for place in range(len(self.requests))]
        return [self.piece(place, {"text": self.echoed(each)}) for place, each in enumerate(self.requests) if self.echo]

    def next_piece(self, place: int, update: Update) -> Answer | None:
        """Return what a step has added to a choice; None if there is nothing to show yet."""
        reason = None if update.completion is None else update.completion.finish_reason
        if not (update.text or reason or update.logprobs):
            return None
        values: Answer = {"delta": {"content": update.text} if update.text else {}} if self.is_chat else {}
        written = update.token_ids, update.logprobs, update.top_logprobs
        if self.is_chat and update.logprobs:
            values["logprobs"] = self.chat_logprobs(*written)
        elif not self.is_chat:
            values["text"] = update.text
            if update.logprobs:
                values["logprobs"] = self.text_logprobs(*written, cursor=self.cursors[place], num_echoed=0)
        return self.piece(place, values, reason)

    def piece(self, place: int, values: Mapping[str, Any], reason: str | None = None) -> Answer:
        """Return one object of a stream."""
        choice = {"index": place, "logprobs": None, "finish_reason": reason, **values}
        return {**self.head(is_piece=True), "choices": [choice]}

    def usage_piece(self, completions: Sequence[Completion]) -> Answer:
        """Return the last object of a stream that was asked for numbers of tokens."""
        return {**self.head(is_piece=True), "choices": [], "usage": self.usage(completions)}

    def usage(self, completions: Sequence[Completion]) -> Answer:
        """Return the numbers of tokens; a prompt counts once, however many choices it has."""
        prompts = {id(request.prompt): len(request.prompt) for request in self.requests}
        prompt, written = sum(prompts.values()), sum(len(completion.token_ids) for completion in completions)
        first = {id(request.prompt): place for place, request in reversed(list(enumerate(self.requests)))}
        cached = sum(completions[place].num_cached for place in first.values())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    def echoed(self, request: Request) -> str:
        """Return the prompt where it is part of the answer."""
        return self.tokenizer.decode(request.prompt, skip_special=False) if self.echo else ""

    def with_prompt(
        self,
        request: Request,
        completion: Completion,
        ids: Sequence[int],
        logprobs: Sequence[float],
        top: Sequence[Mapping[int, float]],
    ) -> tuple[Sequence[int], Sequence[float | None], Sequence[Mapping[int, float] | None]]:
        """Put the prompt's tokens before those of the answer if it is echoed; the first has no probability."""
        if not self.echo:
            return ids, logprobs, top
        return (
            [*request.prompt, *ids],
            [None, *completion.prompt_logprobs, *logprobs],
            [None, *completion.prompt_top_logprobs, *top] if request.top_logprobs else [],
        )

    def token_text(self, token: int) -> str:
        """Return a token as text; half a character is written as its bytes, as OpenAI does."""
        raw = self.token_bytes(token)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)

    def token_bytes(self, token: int) -> bytes:
        """Return what a token adds to a text; of a control token its name, of a row without a token its number."""
        name = self.tokenizer.bytes_of_tokens.get(token) or self.tokenizer.decode([token], skip_special=False).encode()
        return name or f"token:{token}".encode()

    def chat_logprobs(
        self, ids: Sequence[int], logprobs: Sequence[float], top: Sequence[Mapping[int, float]]
    ) -> Answer:
        """Return log-probabilities as /v1/chat/completions writes them."""

        def entry(token: int, logprob: float) -> Answer:
            return {"token": self.token_text(token), "logprob": logprob, "bytes": list(self.token_bytes(token))}

        alternatives: Iterable[Mapping[int, float]] = top or [{}] * len(ids)
        content = [
            {**entry(token, logprob), "top_logprobs": [entry(*each) for each in others.items()]}
            for token, logprob, others in zip(ids, logprobs, alternatives, strict=True)
        ]
        return {"content": content, "refusal": None}

    def text_logprobs(
        self,
        ids: Sequence[int],
        logprobs: Sequence[float | None],
        top: Sequence[Mapping[int, float] | None],
        *,
        cursor: "Cursor",
        num_echoed: int,
    ) -> Answer:
        """Return log-probabilities as /v1/completions writes them; echoed control tokens are text, written ones not."""
        texts = [self.token_text(token) for token in ids]
        written = self.tokenizer.bytes_of_tokens
        offsets = [
            cursor.pass_over(self.token_bytes(token) if place < num_echoed else written.get(token, b""))
            for place, token in enumerate(ids)
        ]
        named = [
            None if each is None else {self.token_text(token): value for token, value in each.items()} for each in top
        ]
        return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": named or None, "text_offset": offsets}
