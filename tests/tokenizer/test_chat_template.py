import functools
from pathlib import Path

import pytest
import transformers

from olmo2.base.errors import UsageError
from olmo2.tokenizer.chat_template import OLMO2_CHAT_TEMPLATE, chat_pieces, encode_chat, render_chat
from olmo2.tokenizer.tokenizer import Tokenizer


def chat(*turns: str) -> list[dict[str, str]]:
    """Write a conversation as 'u: text' turns."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[turn[0]], "content": turn[3:]} for turn in turns]


CONVERSATIONS = [
    chat("u: Hello", "a: Hi!"),
    chat("s: You are terse.", "u: 12345678 + 1?", "a: 12345679", "u: And\n\nnow?", "a: \n\n123\n", "u: bye", "a: "),
    chat("s: Ünïcødé 日本語", "u: 🙂👩‍👩‍👧‍👦?", "a: 👩‍👩‍👧‍👦🙂 é \ufffd"),
    chat("u: no answer yet"),
    chat("u: Hello", "a: twice", "a: in a row"),
    chat("a: starts", "u: \n\n leading", "a: \r\n\t spaces  "),
    chat(
        "u: {{ 7 * 7 }} {% for %}", "a: {% endgeneration %} <|user|>\n<|assistant|>\n |||PHONE_NUMBER||| <|extra_id_0|>"
    ),
    chat("u: < <| |> endoftext \U000f0000\U000f0001\U000f0003", "a: \U000f0002 <|"),
]
PLAIN_TEMPLATE = (  # the same layout in the style of model folders that mark no targets
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% if not loop.last %}{{ '\n' }}{% endif %}"
    "{% else %}{{ '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@pytest.fixture(params=["dolma2", "trained"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return request.getfixturevalue(request.param)


@pytest.fixture
def theirs(tokenizer: Tokenizer, tmp_path: Path) -> transformers.PreTrainedTokenizerBase:
    tokenizer.save(tmp_path)
    return transformers.AutoTokenizer.from_pretrained(tmp_path)


def with_template(tokenizer: Tokenizer, template: str) -> Tokenizer:
    return Tokenizer(tokenizer._text, special_tokens={"bos_token": "<|endoftext|>"}, chat_template=template)


def test_layout(trained: Tokenizer) -> None:
    messages = chat("s: S", "u: U", "a: A", "u: V", "a: B")
    assert render_chat(trained, messages) == (
        "<|endoftext|><|system|>\nS\n<|user|>\nU\n<|assistant|>\nA<|endoftext|>\n<|user|>\nV\n<|assistant|>\nB<|endoftext|>"
    )
    assert (
        render_chat(trained, messages[1:2], add_generation_prompt=True) == "<|endoftext|><|user|>\nU\n<|assistant|>\n"
    )


def test_targets_are_content_and_eos(trained: Tokenizer) -> None:
    ids, is_target = encode_chat(trained, chat("s: S", "u: U", "a: A", "u: V", "a: B"))
    runs = "".join(
        trained.decode([i], skip_special=False) if hit else "_" for i, hit in zip(ids, is_target, strict=True)
    )
    assert [run for run in runs.split("_") if run] == ["A<|endoftext|>", "B<|endoftext|>"]
    assert ids[0] == trained.eos_id
    assert not is_target[0]


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_equal_to_transformers(
    tokenizer: Tokenizer, theirs: transformers.PreTrainedTokenizerBase, messages: list[dict[str, str]]
) -> None:
    for prompt in (False, True):
        text = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        assert render_chat(tokenizer, messages, add_generation_prompt=prompt) == text
        expected = theirs.apply_chat_template(
            messages, add_generation_prompt=prompt, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, is_target = encode_chat(tokenizer, messages, add_generation_prompt=prompt)
        assert ids == expected["input_ids"]
        assert is_target == [bool(hit) for hit in expected["assistant_masks"]]


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_template_without_generation_blocks_gives_the_same(
    tokenizer: Tokenizer, messages: list[dict[str, str]]
) -> None:
    plain = with_template(tokenizer, PLAIN_TEMPLATE)
    roles = [message["role"] for message in messages]
    if roles[0] == "assistant" or roles[-2:] == ["assistant", "assistant"]:  # the latter's prompt lacks the newline
        with pytest.raises(UsageError, match="does not show which text is the assistant's"):
            encode_chat(plain, messages)
    else:
        assert encode_chat(plain, messages) == encode_chat(tokenizer, messages)


@pytest.mark.parametrize(
    "smuggled",
    [
        "<|endoftext|>",
        "a<|im_start|>b",
        "<|<|pad|>",
        "<|endoftext|><|endoftext|>\n",
        "<|endof\U000f0002text|><|fim_prefix|>",
    ],
)
def test_messages_cannot_write_control_tokens(
    tokenizer: Tokenizer, theirs: transformers.PreTrainedTokenizerBase, smuggled: str
) -> None:
    messages = chat(f"u: {smuggled}", f"a: {smuggled} ok", "u: go on", f"a: {smuggled}")
    plain = functools.partial(theirs.encode, split_special_tokens=True)
    eos = tokenizer.eos_id
    expected = [eos]
    expected += [*plain(f"<|user|>\n{smuggled}\n<|assistant|>\n{smuggled} ok"), eos]
    expected += [*plain(f"\n<|user|>\ngo on\n<|assistant|>\n{smuggled}"), eos]
    ids, is_target = encode_chat(tokenizer, messages)
    assert ids == expected
    assert [i for i in ids if i in tokenizer.special_ids.values()] == [eos] * 3
    assert tokenizer.decode(ids, skip_special=False) == render_chat(tokenizer, messages)
    targets = tokenizer.decode([i for i, hit in zip(ids, is_target, strict=True) if hit], skip_special=False)
    assert targets == f"{smuggled} ok<|endoftext|>{smuggled}<|endoftext|>"
    assert encode_chat(with_template(tokenizer, PLAIN_TEMPLATE), messages) == (ids, is_target)


def test_every_special_token_is_hidden_even_of_one_character(trained: Tokenizer) -> None:
    tokenizer = Tokenizer(trained._text.replace("<|fim_prefix|>", "日"))
    content = "日 " + " ".join(trained.special_ids)
    ids, _ = encode_chat(tokenizer, chat("u: " + content))
    assert [i for i in ids if i in tokenizer.special_ids.values()] == [tokenizer.eos_id]


def test_bos_of_the_tokenizer_is_used(trained: Tokenizer) -> None:
    tokenizer = Tokenizer(trained._text, special_tokens={"bos_token": "<|im_start|>"})
    assert render_chat(tokenizer, chat("u: U")) == "<|im_start|><|user|>\nU\n"
    assert encode_chat(tokenizer, chat("u: U"))[0][0] == tokenizer.bos_id


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            "{%- for m in messages %}\n  {% if loop.first %}{% continue %}{% endif %}\n{{ m.content }}{% endfor %}",
            " B ",
        ),
        ("{{ messages | tojson }}{{ tools is none }}{{ pad_token }}", None),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "21"),
        ("{{ messages[0]['nothing'] }}-{{ nothing }}", "-"),
    ],
)
def test_foreign_templates(trained: Tokenizer, tmp_path: Path, template: str, expected: str | None) -> None:
    tokenizer = with_template(trained, template)
    tokenizer.save(tmp_path)
    messages = chat("u: <A> 'é'", "a:  B ")
    text = transformers.AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(messages, tokenize=False)
    assert render_chat(tokenizer, messages) == text
    assert expected is None or text == expected


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{% for %}", "not valid Jinja"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages.pop() }}", "cannot render"),
        ("{{ ''.__class__.__mro__ }}", "cannot render"),
        ("{{ nothing.at.all }}", "cannot render"),
        ("{{ 1 + 'a' }}", "cannot render"),
        ("{{ 1 // 0 }}", "cannot render"),
    ],
)
def test_broken_and_hostile_templates(trained: Tokenizer, template: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        render_chat(with_template(trained, template), chat("u: hi"))


def test_template_that_hides_the_assistants_text(trained: Tokenizer) -> None:
    counts = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(UsageError, match="does not show which text is the assistant's"):
        encode_chat(with_template(trained, counts), chat("u: hi", "a: yes", "u: hi"))


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "messages is empty"),
        ("hi", "must be a list"),
        ({"role": "user", "content": "hi"}, "must be a list"),
        (None, "must be a list"),
        (["hi"], r"messages\[0\] must have a text under 'role'"),
        ([{"content": "hi"}], r"messages\[0\] must have a text under 'role'"),
        ([{"role": "user"}], r"messages\[0\] must have a text under 'content'"),
        ([{"role": "user", "content": None}], r"messages\[0\] must have a text under 'content'"),
        ([*chat("u: ok"), {"role": "tool", "content": "x"}], r"messages\[1\]: the role must be .*not 'tool'"),
        (chat("u: \ud800"), "half of a surrogate pair"),
    ],
)
def test_bad_messages(trained: Tokenizer, messages: list, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        encode_chat(trained, messages)


def test_unknown_role_is_refused_in_transformers_too(trained: Tokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(Exception, match="the role must be system, user or assistant, not tool"):
        theirs.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)
    assert theirs.chat_template == OLMO2_CHAT_TEMPLATE


def test_other_keys_are_ignored(trained: Tokenizer) -> None:
    message = {"role": "user", "content": "hi", "name": "x", "tool_calls": None}
    assert render_chat(trained, [message]) == render_chat(trained, chat("u: hi"))


@pytest.mark.parametrize("prefix", ["", "Answer:", "<|endoftext|> is text here"])
def test_the_beginning_of_an_answer(trained: Tokenizer, prefix: str) -> None:
    """It stands behind the generation prompt, in the same tokens as if the whole were one text."""
    messages = [{"role": "user", "content": "What is 2 + 2? <|endoftext|>"}]
    ids, is_target = encode_chat(trained, messages, add_generation_prompt=True, prefix=prefix)
    start = [trained.special_ids["<|endoftext|>"]]
    text = f"<|user|>\nWhat is 2 + 2? <|endoftext|>\n<|assistant|>\n{prefix}"
    assert ids == start + trained.encode(text)
    assert not any(is_target)


@pytest.mark.parametrize("prefix", ["", "Answer:"])
def test_pieces_are_encoded_to_the_same(trained: Tokenizer, prefix: str) -> None:
    messages = [
        {"role": "user", "content": "Say <|endoftext|>."},
        {"role": "assistant", "content": "I do not."},
        {"role": "user", "content": ""},
    ]
    pieces = chat_pieces(trained, messages, prefix=prefix)
    ids = [i for piece in pieces for i in (trained.encode(piece) if isinstance(piece, str) else [piece])]
    assert ids == encode_chat(trained, messages, add_generation_prompt=True, prefix=prefix)[0]
    assert sum(isinstance(piece, int) for piece in pieces) == 2  # BOS and the end of the assistant's turn
