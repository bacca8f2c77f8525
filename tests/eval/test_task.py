"""Requests say all that a model is asked, and their hash tells every difference."""

import hashlib
from dataclasses import replace

import pytest

from olmo2.eval.task import (
    AnyItem,
    Judged,
    JudgeQuestion,
    Option,
    Prompt,
    Ranked,
    Task,
    Written,
    prompt_hash,
    requests_of,
)

CHAT = Prompt("Answer:", (("user", "Why?"),))
ALONE = Prompt(turns=(("user", "Why?"),))
WRITTEN = Written(0, "2 + 3?", "5", Prompt("Question: 2 + 3?"), lambda response: {}, group="sums")
SAME = Ranked(1, "é?", " b", (Option(ALONE, " a"), Option(ALONE, " b")), lambda found: {})
OTHERS = Ranked(2, "x", " b", (Option(Prompt("x"), " b"), Option(Prompt("y"), " b")), lambda found: {})
JUDGED = Judged(3, "Why?", "", CHAT, lambda response: JudgeQuestion(Prompt(response), 1), lambda response, reply: {})
ITEMS: list[AnyItem] = [WRITTEN, SAME, OTHERS, JUDGED]
TASK = Task("made:up", 1, "made up", lambda source: ITEMS, "exact_match", 4, max_new_tokens=16, stop=("\n\n",))


def test_requests() -> None:
    message = {"role": "user", "content": "Why?"}
    limits = {"max_new_tokens": 16, "stop": ["\n\n"]}
    assert [list(requests_of(TASK, item)) for item in ITEMS] == [
        [{"task": "made:up", "doc_id": 0, "prompt": "Question: 2 + 3?", **limits}],
        [
            {
                "task": "made:up",
                "doc_id": 1,
                "messages": [message],
                "assistant_prefix": "",
                "option": number,
                "continuation": text,
            }
            for number, text in enumerate((" a", " b"))
        ],
        [
            {"task": "made:up", "doc_id": 2, "prompt": text, "option": number, "continuation": " b"}
            for number, text in enumerate("xy")
        ],
        [{"task": "made:up", "doc_id": 3, "messages": [message], "assistant_prefix": "Answer:", **limits}],
    ]


def test_the_hash_is_that_of_the_requests_written_out() -> None:
    limits = '{"max_new_tokens": 16, "stop": ["\\n\\n"]}'
    why = '"messages": [{"content": "Why?", "role": "user"}]'
    text = (
        '[{"answer": "5", "doc_id": 0, "group": "sums", "task": "made:up"}, {"prompt": "Question: 2 + 3?"}, '
        f"{limits}]"
        '[{"answer": " b", "doc_id": 1, "group": "", "task": "made:up"}, {"assistant_prefix": "", '
        f'{why}}}, {{"continuation": " a", "option": 0}}, {{"continuation": " b", "option": 1}}]'
        '[{"answer": " b", "doc_id": 2, "group": "", "task": "made:up"}, {"prompt": "x"}, '
        '{"continuation": " b", "option": 0}, {"prompt": "y"}, {"continuation": " b", "option": 1}]'
        '[{"answer": "", "doc_id": 3, "group": "", "task": "made:up"}, {"assistant_prefix": "Answer:", '
        f"{why}}}, {limits}]"
    )
    assert prompt_hash(TASK, ITEMS) == hashlib.sha256(text.encode()).hexdigest()[:16] == "e07f4ce755291930"


@pytest.mark.parametrize(
    "changed",
    [
        [replace(WRITTEN, prompt=Prompt("Question: 2 + 4?")), *ITEMS[1:]],
        [replace(WRITTEN, prompt=Prompt("Question: 2 + 3? ")), *ITEMS[1:]],
        [replace(WRITTEN, answer="6"), *ITEMS[1:]],
        [replace(WRITTEN, group="differences"), *ITEMS[1:]],
        [replace(WRITTEN, doc_id=9), *ITEMS[1:]],
        [WRITTEN, replace(SAME, options=SAME.options[::-1]), OTHERS, JUDGED],
        [WRITTEN, replace(SAME, options=SAME.options[:1]), OTHERS, JUDGED],
        [WRITTEN, replace(SAME, options=(SAME.options[0], Option(CHAT, " b"))), OTHERS, JUDGED],
        [WRITTEN, SAME, replace(OTHERS, options=(OTHERS.options[0], Option(Prompt("x"), " b"))), JUDGED],
        [WRITTEN, SAME, OTHERS, replace(JUDGED, prompt=ALONE)],
        ITEMS[:3],
        ITEMS[::-1],
    ],
)
def test_the_hash_of_other_items_differs(changed: list[AnyItem]) -> None:
    assert prompt_hash(TASK, changed) != prompt_hash(TASK, ITEMS)


@pytest.mark.parametrize("changed", [{"name": "made:down"}, {"stop": ()}, {"stop": ("\n",)}, {"max_new_tokens": 17}])
def test_the_hash_of_other_settings_differs(changed: dict[str, object]) -> None:
    assert prompt_hash(replace(TASK, **changed), ITEMS) != prompt_hash(TASK, ITEMS)  # type: ignore[arg-type]


def test_the_hash_does_not_depend_on_what_no_model_sees() -> None:
    same = replace(TASK, version=2, summary="other words", metric="f1", num_items=5, aliases=("x",))
    assert prompt_hash(same, [replace(item, question="?") for item in ITEMS]) == prompt_hash(TASK, ITEMS)


def test_what_follows_a_conversation_has_no_space_before_it() -> None:
    assert ALONE.extended("  a b") == Prompt("a b", ALONE.turns)
    assert CHAT.extended(" a") == Prompt("Answer: a", CHAT.turns)
    assert Prompt("x").extended(" a") == Prompt("x a")


@pytest.mark.parametrize(
    ("prompt", "text", "num_chars", "num_bytes"),
    [
        (Prompt("Q"), " a", 2, 2),
        (CHAT, " é", 2, 3),
        (ALONE, " é", 1, 2),
        (ALONE, " 汉🙂", 2, 7),
        (Prompt("Q"), "", 0, 0),
    ],
)
def test_a_continuation_is_as_long_as_what_is_measured(
    prompt: Prompt, text: str, num_chars: int, num_bytes: int
) -> None:
    found = Option(prompt, text).likelihood(-1.5, 2)
    assert (found.logprob, found.num_tokens, found.num_chars, found.num_bytes) == (-1.5, 2, num_chars, num_bytes)


def test_files_are_named_without_colons() -> None:
    assert TASK.file_name == "made-up"
