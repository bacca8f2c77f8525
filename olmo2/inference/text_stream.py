"""Tokens -> text while they come: whole characters only, and nothing of a text that ends the answer."""

import codecs
from collections.abc import Sequence

from olmo2.tokenizer.tokenizer import Tokenizer


class TextStream:
    """The text of a growing list of tokens, up to the first of some stop texts.

    What `push` and `finish` return, put together, is what `Tokenizer.decode` makes of all tokens, cut before the stop
    text. The end of what has come may be held back: half a character, or what may become a stop text.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self.pieces = tokenizer.bytes_of_tokens
        self.stop = tuple(stop)
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.held = ""  # text that may yet turn out to begin a stop text
        self.is_stopped = False

    def push(self, token_id: int) -> str:
        """Add a token and return the text that is certain by now and has not been returned before."""
        return self.take(self.decoder.decode(self.pieces.get(token_id, b"")), is_end=False)

    def finish(self) -> str:
        """Return the rest of the text when no token will come any more."""
        return self.take(self.decoder.decode(b"", final=True), is_end=True)

    def take(self, text: str, *, is_end: bool) -> str:
        """Return what of the held text and `text` may be shown."""
        if not self.stop:
            return text
        if self.is_stopped:
            return ""
        text = self.held + text
        places = [place for place in (text.find(stop) for stop in self.stop) if place >= 0]
        if places:
            self.is_stopped, self.held = True, ""
            return text[: min(places)]
        num_held = 0 if is_end else max((overlap(text, stop) for stop in self.stop), default=0)
        self.held = text[len(text) - num_held :]
        return text[: len(text) - num_held]


def overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` are the beginning of `stop`, but not all of it."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
