"""Bodies of OpenAI's endpoints become requests; refusals are tested through the server (test_http_app.py)."""

import pytest
from pydantic import ValidationError

from olmo2.base.errors import UsageError
from olmo2.inference.openai_requests import ChatBody, CompletionBody, Limits, seeded
from olmo2.inference.sampling import SamplingSettings
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

MESSAGES = [{"role": "user", "content": "What is 12 + 30?"}]


def test_a_conversation_with_all_settings(tokenizer: Tokenizer) -> None:
    body = ChatBody.model_validate(
        {
            "model": "tiny", "messages": MESSAGES, "temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1,
            "repetition_penalty": 1.2, "max_completion_tokens": 9, "n": 2, "stop": "###", "stop_token_ids": [3],
            "ignore_eos": True, "seed": 2**63 - 1, "logprobs": True, "top_logprobs": 4, "presence_penalty": 0,
        }
    )  # fmt: skip
    first, second = body.requests(tokenizer, Limits(), 100)
    assert first.prompt == encode_chat(tokenizer, MESSAGES, add_generation_prompt=True)[0] == second.prompt
    assert (first.logprobs, first.top_logprobs) == (True, 4)
    assert first.sampling == SamplingSettings(
        temperature=0.5, top_p=0.9, top_k=7, min_p=0.1, repetition_penalty=1.2, max_new_tokens=9, stop=["###"],
        stop_ids=[3], ignore_end=True, seed=2**63 - 1,
    )  # fmt: skip
    assert second.sampling.seed == 0


def test_the_defaults_are_those_of_openai(tokenizer: Tokenizer) -> None:
    (chat,) = ChatBody.model_validate({"model": "x", "messages": MESSAGES}).requests(tokenizer, Limits(), 100)
    assert chat.sampling.temperature == 1.0 and chat.sampling.top_p == 1.0 and chat.sampling.top_k is None
    assert chat.sampling.max_new_tokens == 100 - len(chat.prompt) + 1, "what there is room for"
    (chat,) = ChatBody.model_validate({"model": "x", "messages": MESSAGES}).requests(tokenizer, Limits(), 10_000)
    assert chat.sampling.max_new_tokens == Limits().new_tokens
    (text,) = CompletionBody.model_validate({"model": "x", "prompt": "a"}).requests(tokenizer, Limits(), 100)
    assert text.sampling.max_new_tokens == 16
    again = ChatBody.model_validate({"model": "x", "messages": MESSAGES}).requests(tokenizer, Limits(), 100)[0]
    assert again.sampling.seed != chat.sampling.seed, "without a seed every answer is another"


def test_parts_and_developers(tokenizer: Tokenizer) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "12 + 30?"}]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    (request,) = ChatBody.model_validate({"model": "x", "messages": messages}).requests(tokenizer, Limits(), 200)
    plain = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    assert request.prompt == encode_chat(tokenizer, plain, add_generation_prompt=True)[0]


def test_prompts_of_every_kind(tokenizer: Tokenizer) -> None:
    for prompt, expected in (
        ("ab c", [tokenizer.encode("ab c")]),
        (["ab", "c"], [tokenizer.encode("ab"), tokenizer.encode("c")]),
        ([5, 6], [[5, 6]]),
        ([[5], [6, 7]], [[5], [6, 7]]),
    ):
        body = CompletionBody.model_validate({"model": "x", "prompt": prompt})
        assert [each.prompt for each in body.requests(tokenizer, Limits(), 100)] == expected


def test_echo_measures_the_prompt(tokenizer: Tokenizer) -> None:
    body = CompletionBody.model_validate(
        {"model": "x", "prompt": [4, 5, 6], "echo": True, "logprobs": 0, "max_tokens": 0}
    )
    (request,) = body.requests(tokenizer, Limits(), 100)
    assert request.score_from == 1 and request.is_scored_only and request.logprobs


def test_limits(tokenizer: Tokenizer) -> None:
    body = CompletionBody.model_validate({"model": "x", "prompt": [[1] * 9, [2] * 9], "n": 2})
    assert len(body.requests(tokenizer, Limits(choices=4), 9)) == 4
    with pytest.raises(UsageError, match="2 prompts with n 2 are more than the 3 answers"):
        body.requests(tokenizer, Limits(choices=3), 9)
    with pytest.raises(UsageError, match="the prompt has 9 tokens, and this server reads at most 8"):
        body.requests(tokenizer, Limits(), 8)
    with pytest.raises(UsageError, match="reads at most 5"):
        body.requests(tokenizer, Limits(prompt_tokens=5), 9)
    assert body.requests(tokenizer, Limits(new_tokens=3), 9)[0].sampling.max_new_tokens == 3


def test_what_is_unknown_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="tempreture"):
        ChatBody.model_validate({"model": "x", "messages": MESSAGES, "tempreture": 1})


def test_seeds_count_on() -> None:
    assert [each.seed for each in seeded(SamplingSettings(seed=5), 3)] == [5, 6, 7]
