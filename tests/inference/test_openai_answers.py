"""Answers in OpenAI's form; that its client reads them is tested in test_http_app.py."""

from olmo2.inference.openai_answers import AnswerWriter, error_object
from olmo2.inference.request import Completion, Request, Update
from olmo2.tokenizer.tokenizer import Tokenizer


def writer(tokenizer: Tokenizer, number: int = 1, *, is_chat: bool, prompt: str = "ab") -> AnswerWriter:
    ids = tokenizer.encode(prompt)
    return AnswerWriter(tokenizer, "tiny", [Request(ids, logprobs=True) for _ in range(number)], is_chat=is_chat)


def test_half_characters_are_bytes(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("é")
    assert len(ids) == 2, "a character of two bytes that the vocabulary does not have"
    content = writer(tokenizer, is_chat=True).chat_logprobs(ids, [-1.0, -2.0], [])["content"]
    assert [each["token"] for each in content] == ["bytes:\\xc3", "bytes:\\xa9"]
    assert [each["bytes"] for each in content] == [[0xC3], [0xA9]]


def test_control_tokens_and_rows_without_a_token_have_names(tokenizer: Tokenizer) -> None:
    own = writer(tokenizer, is_chat=True)
    assert own.token_text(tokenizer.eos_id) == "<|endoftext|>"
    assert own.token_text(500) == "token:500"


def test_a_prompt_counts_once_for_all_its_choices(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("ab c")
    own = AnswerWriter(tokenizer, "tiny", [Request(ids), Request(ids), Request([1])], is_chat=False)
    written, cached = ([5, 6], [5], []), (3, 3, 1)
    usage = own.usage([Completion(ids, "", "stop", num_cached=num) for ids, num in zip(written, cached, strict=True)])
    assert usage["prompt_tokens"] == len(ids) + 1 and usage["completion_tokens"] == 3
    assert usage["total_tokens"] == len(ids) + 4 and usage["prompt_tokens_details"] == {"cached_tokens": 4}


def test_offsets_of_a_stream_go_on(tokenizer: Tokenizer) -> None:
    """They count the characters of what was written before, held back or not; the parts of one begin at its place."""
    own = writer(tokenizer, is_chat=False)
    ids = tokenizer.encode("aé b")
    pieces = [own.next_piece(0, Update(0, [i], "", None, [-1.0])) for i in ids]
    offsets = [piece["choices"][0]["logprobs"]["text_offset"][0] for piece in pieces if piece]
    assert tokenizer.decode(ids[:1]) == "a" and len(ids) > 3
    assert offsets[:3] == [0, 1, 1] and offsets[3] == 2
    whole = Completion(ids, "aé b", "stop", [-1.0] * len(ids))
    assert own.choice(0, whole)["logprobs"]["text_offset"] == offsets


def test_a_step_without_text_is_not_sent(tokenizer: Tokenizer) -> None:
    own = writer(tokenizer, is_chat=True)
    assert own.next_piece(0, Update(0, [5], "")) is None
    end = own.next_piece(0, Update(0, [5], "", Completion([5], "", "length")))
    assert end is not None and end["choices"][0] == {
        "index": 0, "logprobs": None, "finish_reason": "length", "delta": {}
    }  # fmt: skip


def test_errors() -> None:
    assert error_object("no", param="n") == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": None}
    }
