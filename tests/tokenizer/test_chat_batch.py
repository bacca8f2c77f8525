"""Many conversations at a time against `encode_chat`, one by one, over awkward texts, templates and tokenizers."""

import json
import random

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.tokenizer.chat_batch import ChatEncoder, EncodedChat, byte_spans
from olmo2.tokenizer.chat_template import BadConversation, encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

MARKED_WITHIN = (
    "{{ bos_token or eos_token }}{% for m in messages %}[{{ m.role }}]{% generation %}{{ m.content[:3] }}"
    "{% endgeneration %}{{ m.content[3:] }}{% generation %}{% endgeneration %}{{ eos_token }}{% endfor %}"
)
UNMARKED = (
    "{% for m in messages %}<{{ m.role }}>\n{{ m.content }}{{ eos_token if m.role == 'assistant' }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)


def conversations(strings: list[str], count: int) -> list[list[dict[str, str]]]:
    draw = random.Random(1)

    def turn(role: str) -> dict[str, str]:
        return {"role": role, "content": "".join(draw.choices(strings, k=draw.randrange(3)))}

    start = [{"role": "system", "content": "日本"}]
    return [
        start * draw.randrange(2) + [turn(role) for role in ("user", "assistant") * draw.randint(1, 3)]
        for _ in range(count)
    ]


def require_equal(tokenizer: Tokenizer, chats: list[list[dict[str, str]]]) -> None:
    for messages, chat in zip(chats, ChatEncoder(tokenizer).encode(chats), strict=True):
        assert isinstance(chat, EncodedChat)
        assert (chat.input_ids.dtype, chat.is_target.dtype) == (np.int32, np.bool_)
        assert (chat.input_ids.tolist(), chat.is_target.tolist()) == encode_chat(tokenizer, messages)


@pytest.mark.parametrize("template", [None, MARKED_WITHIN, UNMARKED], ids=["own", "within words", "unmarked"])
@pytest.mark.parametrize("name", ["trained", "dolma2"])
def test_equal_to_one_by_one(
    request: pytest.FixtureRequest, name: str, template: str | None, strings: list[str]
) -> None:
    """Control tokens inside messages, characters of several tokens, newlines that merge with the header's."""
    tokenizer: Tokenizer = request.getfixturevalue(name)
    tokenizer = Tokenizer(tokenizer._text, special_tokens=tokenizer.special_tokens, chat_template=template)
    require_equal(tokenizer, conversations(strings, 200))


@pytest.mark.parametrize("change", ["a space before each text", "no byte-level decoder", "lower case"])
def test_tokens_that_do_not_stand_for_bytes(trained: Tokenizer, strings: list[str], change: str) -> None:
    layout = json.loads(trained._text)
    if change == "a space before each text":
        layout["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
    elif change == "lower case":
        layout["normalizer"] = {"type": "Lowercase"}
    else:
        layout["decoder"] = None
    require_equal(Tokenizer(json.dumps(layout)), conversations(strings, 60))


def test_a_bad_conversation_is_told_apart_from_its_neighbours(trained: Tokenizer) -> None:
    good = [{"role": "user", "content": "the"}, {"role": "assistant", "content": "cat"}]
    bad = [[], [{"role": "robot", "content": "a"}], [{"role": "user"}]]
    first, *refused, last = ChatEncoder(trained).encode([good, *bad, good])  # type: ignore[list-item]
    assert isinstance(first, EncodedChat) and isinstance(last, EncodedChat)
    assert first.input_ids.tolist() == last.input_ids.tolist() == encode_chat(trained, good)[0]
    assert [each.kind for each in refused if isinstance(each, BadConversation)] == [
        "no message",
        "unknown role",
        "message without a role or a text",
    ]
    assert ChatEncoder(trained).encode([]) == []


def test_a_broken_template_is_nobodys_row(trained: Tokenizer) -> None:
    broken = Tokenizer(trained._text, chat_template="{% for %}")
    with pytest.raises(UsageError, match="is not valid Jinja"):
        ChatEncoder(broken).encode([[{"role": "user", "content": "a"}]])


def test_byte_spans() -> None:
    starts, ends = byte_spans("aé日🙂b", [(0, 1), (1, 1), (1, 3), (3, 5)])
    assert (starts.tolist(), ends.tolist()) == ([0, 1, 6], [1, 6, 11])
    assert byte_spans("é", [])[0].tolist() == []
