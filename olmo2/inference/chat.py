"""Talk to a model in the terminal."""

import sys
from collections.abc import Iterator

from olmo2.base.errors import UsageError
from olmo2.inference.decode import decode
from olmo2.inference.model_choice import ModelRecipe
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

HELP = "/new starts a new conversation, /quit ends"


class ChatRecipe(ModelRecipe):
    """Everything that `chat` needs to know."""

    system: str | None = None
    """a system message that opens every conversation"""


def chat(recipe: ChatRecipe) -> None:
    """Read lines from standard input and answer each, until its end or /quit."""
    model, tokenizer = recipe.load()
    opening = [{"role": "system", "content": recipe.system}] if recipe.system else []
    messages = list(opening)
    if sys.stdin.isatty():
        print(f"Talking to {recipe.model}. {HELP}.")
    for line in typed_lines():
        if line == "/quit":
            return
        if line == "/new":
            messages = list(opening)
        elif line.startswith("/"):
            print(f"There is no command {line.split()[0]}. {HELP}.")
        elif line:
            messages.append({"role": "user", "content": line})
            try:
                answer = say(model, tokenizer, messages, recipe.sampling)
            except UsageError as error:  # the conversation has outgrown the context: keep the session
                print(f"{error} (or type /new)")
                messages.pop()
                continue
            except KeyboardInterrupt:  # ends the answer, not the session
                print()
                messages.pop()
                continue
            messages.append({"role": "assistant", "content": answer})


def typed_lines() -> Iterator[str]:
    """Yield what the user types, until the end of input."""
    while True:
        try:
            yield input("> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return


def say(model: Transformer, tokenizer: Tokenizer, messages: list[dict[str, str]], sampling: SamplingSettings) -> str:
    """Print the answer to a conversation while it is made, and return it."""
    prompt, _ = encode_chat(tokenizer, messages, add_generation_prompt=True)
    ids: list[int] = []
    printed = ""
    for token in decode(model, [prompt], sampling):
        if token.item() == tokenizer.eos_id:
            break
        ids.append(int(token.item()))
        text = tokenizer.decode(ids)
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # a character may need more than one token
            print(text[len(printed) :], end="", flush=True)
            printed = text
    print(tokenizer.decode(ids)[len(printed) :])
    return tokenizer.decode(ids)
