"""Conversations to text and to tokens, in OLMo 2's chat layout or in the one a model folder brings along.

    BOS <|system|>\\n CONTENT \\n <|user|>\\n CONTENT \\n <|assistant|>\\n CONTENT EOS      (spaces only for reading)

An assistant turn that is not the last is followed by a newline; the generation prompt is ``<|assistant|>\\n``. OLMo 2
writes its end-of-text token as BOS too, so that is what stands there if the tokenizer has no BOS of its own. The role
markers are ordinary text in OLMo 2, not tokens: nothing can tell one that is typed inside a message from a real one.
Control tokens can be told apart and are: see `encode_chat`.

message: {"role": "system" | "user" | "assistant", "content": text}; further keys are ignored.
span: (start, end) characters of the rendered text.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from olmo2.base.errors import UsageError

if TYPE_CHECKING:
    from olmo2.tokenizer.tokenizer import Tokenizer

Message = Mapping[str, str]
Span = tuple[int, int]

OLMO2_CHAT_TEMPLATE = r"""
{{- bos_token or eos_token -}}
{%- for message in messages -%}
  {%- if message['role'] == 'assistant' -%}
    {{- '<|assistant|>\n' -}}
    {%- generation -%}
      {{- message['content'] + eos_token -}}
    {%- endgeneration -%}
    {%- if not loop.last -%}
      {{- '\n' -}}
    {%- endif -%}
  {%- elif message['role'] in ['system', 'user'] -%}
    {{- '<|' + message['role'] + '|>\n' + message['content'] + '\n' -}}
  {%- else -%}
    {{- raise_exception('the role must be system, user or assistant, not ' + message['role']) -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|assistant|>\n' -}}
{%- endif -%}
""".strip()


def render_chat(tokenizer: "Tokenizer", messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
    """Return the conversation as text, as transformers' apply_chat_template renders it.

    Raises BadConversation for messages that are not one or that the template refuses, UsageError for a broken template.
    """
    return render(tokenizer, checked(messages), add_generation_prompt)


def encode_chat(
    tokenizer: "Tokenizer", messages: Sequence[Message], *, add_generation_prompt: bool = False, prefix: str = ""
) -> tuple[list[int], list[bool]]:
    """Return the conversation's ids and, for each, whether it is a training target.

    `prefix` is text behind all else: how the answer that is asked for begins.

    Targets are every assistant turn's content and its EOS: the text inside the template's ``{% generation %}`` blocks
    or, in a template without them, what a turn adds to the rendering of the turns before it and the generation prompt.
    A token that covers any of that text is a target, as in transformers.

    Only the template can write control tokens. Inside a message, ``<|endoftext|>`` is encoded as the thirteen
    characters it is, where transformers by default would let it end the text; all other ids equal transformers'.
    """
    pieces, spans = lay_out(tokenizer, messages, add_generation_prompt=add_generation_prompt, prefix=prefix)
    is_target_character = bytearray(sum(len(text) for text, _ in pieces))
    for start, end in spans:
        is_target_character[start:end] = b"\1" * (end - start)

    ids: list[int] = []
    is_target: list[bool] = []
    position = 0
    for text, control_id in pieces:
        if control_id is None:
            piece_ids, piece_spans = tokenizer.encode_with_spans(text)
        else:
            piece_ids, piece_spans = [control_id], [(0, len(text))]
        ids += piece_ids
        is_target += [is_target_character.find(1, position + start, position + end) >= 0 for start, end in piece_spans]
        position += len(text)
    return ids, is_target


def lay_out(
    tokenizer: "Tokenizer", messages: Sequence[Message], *, add_generation_prompt: bool = False, prefix: str = ""
) -> tuple[list[tuple[str, int | None]], list[Span]]:
    """Return the conversation's text in pieces, and which characters of it are training targets.

    A piece is text to be encoded by itself, or the text of a control token and its id.
    """
    shield, hidden = shielded(tokenizer, messages, prefix)
    marked = render(tokenizer, hidden, add_generation_prompt, shield.span_marks)
    text, spans = take_spans(marked, shield.span_marks)
    if not spans:
        spans = spans_of_turns(hidden, text, lambda part, prompt: render(tokenizer, part, prompt))
    text += shield.hide(prefix)
    return [(shield.reveal(piece), tokenizer.special_ids.get(piece)) for piece in shield.split(text)], spans


def chat_pieces(tokenizer: "Tokenizer", messages: Sequence[Message], *, prefix: str = "") -> list[str | int]:
    """Return the conversation with the generation prompt as texts to be encoded, and the ids of control tokens between.

    Encoded one by one, these are the ids of `encode_chat`; many conversations can be encoded at once this way.
    """
    shield, hidden = shielded(tokenizer, messages, prefix)
    text = render(tokenizer, hidden, True) + shield.hide(prefix)
    return [tokenizer.special_ids.get(piece, shield.reveal(piece)) for piece in shield.split(text)]


def shielded(tokenizer: "Tokenizer", messages: Sequence[Message], prefix: str) -> tuple["Shield", list[Message]]:
    """Return a shield for a conversation and the beginning of its answer, and the messages behind it."""
    messages = checked(messages)
    shield = Shield(tokenizer, [*messages, {"content": prefix}])
    return shield, [{"role": each["role"], "content": shield.hide(each["content"])} for each in messages]


class BadConversation(UsageError):
    """A conversation that cannot be laid out, and in a few words why: `kind` is the same for all of one fault."""

    def __init__(self, kind: str, reason: str) -> None:
        """Name the fault, and say what is wrong with this conversation."""
        super().__init__(reason)
        self.kind = kind


class Shield:
    """Hides control-token text inside messages from the moment before rendering until it is encoded as plain text.

    The first character of each occurrence is replaced by a private-use character that neither the messages nor the
    template contain. That is one for one, so no position shifts, and what still reads as a control token after
    rendering was written by the template. Two more such characters mark where targets start and end.
    """

    def __init__(self, tokenizer: "Tokenizer", messages: Sequence[Message]) -> None:
        """Choose characters that occur nowhere in this conversation."""
        texts = [tokenizer.chat_template, *(message["content"] for message in messages)]
        free = (chr(code) for code in range(0xF0000, 0xFFFFE) if not any(chr(code) in text for text in texts))
        self._token, self._first_character = control_patterns(tuple(tokenizer.special_ids))
        self.span_marks = (next(free), next(free))
        self._stand_ins = {first: next(free) for first in sorted({token[0] for token in tokenizer.special_ids})}
        self._originals = str.maketrans({stand_in: first for first, stand_in in self._stand_ins.items()})

    def hide(self, content: str) -> str:
        """Return `content` with no control token readable in it."""
        return self._first_character.sub(lambda match: self._stand_ins[match[0]], content)

    def reveal(self, text: str) -> str:
        """Undo `hide`."""
        is_there = any(stand_in in text for stand_in in self._stand_ins.values())  # seldom, and fast to see
        return text.translate(self._originals) if is_there else text

    def split(self, text: str) -> Iterator[str]:
        """Cut rendered text into the template's control tokens and what is between them."""
        return (piece for piece in self._token.split(text) if piece)


@lru_cache(maxsize=8)
def control_patterns(tokens: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what finds one of the control tokens, and what finds the first character of one."""
    longest_first = sorted(tokens, key=len, reverse=True)
    alternatives = "|".join(map(re.escape, longest_first)) or "(?!)"  # (?!) matches nothing
    return re.compile(f"({alternatives})"), re.compile(f"(?={alternatives}).", re.DOTALL)


def take_spans(marked: str, marks: tuple[str, str]) -> tuple[str, list[Span]]:
    """Remove the marks around targets; return the text without them and the spans they enclosed."""
    text: list[str] = []
    spans: list[Span] = []
    position = start = 0
    for piece in re.split(f"([{''.join(marks)}])", marked):
        if piece == marks[0]:
            start = position
        elif piece == marks[1]:
            spans.append((start, position))
        else:
            text.append(piece)
            position += len(piece)
    return "".join(text), spans


def spans_of_turns(
    messages: Sequence[Message], text: str, render_part: Callable[[Sequence[Message], bool], str]
) -> list[Span]:
    """Find the assistant turns in `text` by rendering the conversation up to them and through them.

    Raises BadConversation if the template writes the start of a conversation differently once more follows, and for a
    conversation that an assistant opens.
    """
    spans: list[Span] = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, through = render_part(messages[:number], True), render_part(messages[: number + 1], False)
        # Where nothing was said before, the published template writes no generation prompt: nothing can be told apart.
        if not (number and through.startswith(before) and text.startswith(through)):
            raise BadConversation(
                "assistant's text not told apart by the chat template",
                "the tokenizer's chat template does not show which text is the assistant's in this conversation: "
                "put {% generation %} and {% endgeneration %} around it in the template",
            )
        spans.append((len(before), len(through)))
    return spans


def checked(messages: Sequence[Message]) -> list[Message]:
    """Return the role and content of each message; raise BadConversation unless they form a conversation."""
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Iterable):
        raise BadConversation("not a conversation", f"messages must be a list of messages, not {messages!r}")
    conversation: list[Message] = []
    for number, message in enumerate(messages):
        for key in ("role", "content"):
            if not isinstance(message, Mapping) or not isinstance(message.get(key), str):
                raise BadConversation(
                    "message without a role or a text",
                    f"messages[{number}] must have a text under {key!r}: {message!r}",
                )
        if message["role"] not in ("system", "user", "assistant"):
            raise BadConversation(
                "unknown role",
                f"messages[{number}]: the role must be system, user or assistant, not {message['role']!r}",
            )
        conversation.append({"role": message["role"], "content": message["content"]})
    if not conversation:
        raise BadConversation("no message", "messages is empty: a conversation needs at least one message")
    return conversation


def render(
    tokenizer: "Tokenizer",
    messages: Sequence[Message],
    add_generation_prompt: bool,
    span_marks: tuple[str, str] = ("", ""),
) -> str:
    """Run the tokenizer's chat template; `span_marks` are written around each generation block."""
    try:
        return compile_template(tokenizer.chat_template).render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            generation_start=span_marks[0],
            generation_end=span_marks[1],
            **tokenizer.special_tokens,
        )
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(f"the tokenizer's chat template is not valid Jinja (line {error.lineno}): {error}") from None
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        reason = f"the tokenizer's chat template cannot render this conversation: {error}"
        raise BadConversation("refused by the chat template", reason) from None


@lru_cache(maxsize=8)
def compile_template(template: str) -> jinja2.Template:
    """Compile a template with the names and settings that transformers offers it, in a sandbox: it is foreign code."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


class GenerationBlock(Extension):
    """``{% generation %}...{% endgeneration %}``: writes its body between the two marks that `render` passes in."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Put the marks around the body, in a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        start, end = (nodes.Output([nodes.Name(f"generation_{side}", "load")]) for side in ("start", "end"))
        return nodes.Scope([start, *body, end]).set_lineno(line)


def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Write JSON without Jinja's escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def refuse(reason: str) -> NoReturn:
    """Let a template refuse a conversation."""
    raise jinja2.TemplateError(reason)
