"""A judge in process has transformers' log-probabilities, one behind a server the same; what fails is a sentence."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from olmo2.checkpoint.folder import load_model
from olmo2.eval import server_client
from olmo2.eval.judge import NO_ROOM, EngineJudge, Judge, ServerJudge
from olmo2.eval.preference_judge import ResponsePair
from olmo2.eval.server_client import ServerClient, ServerSettings
from olmo2.eval.task import JudgeQuestion, JudgeReply, Prompt
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.request import Completion
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.eval.asking import Handler, Seen, chat_answer, fake_server, write_model
from tests.inference.live_server import serving

pytest.importorskip("fastapi", reason="the server needs the extra serve")

TURNS: Any = (("system", "Say which is better."), ("user", "m: 42\nM: forty-two"))
PREFERENCE = JudgeQuestion(Prompt(turns=TURNS), 1, top_logprobs=5, temperature=1.0)
BEGUN = JudgeQuestion(Prompt("Answer: The answer is 42."), 6)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def folder(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    return write_model(tmp_path / "judge", tokenizer)


def engine_of(folder: Path) -> Engine:
    return Engine(*load_model(folder), EngineSettings(max_sequences=4, cache_tokens=4096))


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with serving(engine_of(folder)) as address:
        yield f"{address}/v1"


def behind(address: str, **settings: Any) -> ServerJudge:
    settings = {"attempts": 2, "timeout_seconds": 30, **settings}
    return ServerJudge(ServerClient(address, "tiny", ServerSettings(**settings)))


def replies_of(judge: Judge, questions: Sequence[JudgeQuestion]) -> list[JudgeReply | str]:
    """The replies, which must be those that are told one by one."""
    told: dict[int, JudgeReply | str] = {}
    replies = judge.reply(questions, told.__setitem__)
    assert [told[number] for number in range(len(questions))] == replies
    return replies


def test_a_judge_here_has_the_log_probabilities_of_transformers(folder: Path) -> None:
    preference, begun = replies_of(EngineJudge("judge", lambda: engine_of(folder)), [PREFERENCE, BEGUN])
    assert isinstance(preference, JudgeReply) and isinstance(begun, JudgeReply)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": role, "content": content} for role, content in TURNS]
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    ).input_ids
    with torch.no_grad():
        top = model(ids).logits[0, -1].log_softmax(-1).topk(5)
    expected = {
        tokenizer.decode([token]): value for token, value in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    }
    assert preference.first_token == pytest.approx(expected, abs=1e-4)
    ids = tokenizer(BEGUN.prompt.text, return_tensors="pt").input_ids
    made = model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert begun == JudgeReply(tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True), {})
    assert (begun.prompt_tokens, begun.completion_tokens) == (ids.shape[1], made.shape[1] - ids.shape[1])


@pytest.mark.parametrize("instruction", ["What is 3 + 4?", "And 3 + 4?"])  # of which one shows the model first
def test_a_preference_of_a_judge_here(instruction: str, folder: Path) -> None:
    """Logits of 3, 2 and 0 of "m", "M" and all other tokens make the first response better with e / (e + 1)."""
    pair = ResponsePair(instruction, "It is 7.", "7")
    turns = (("user", "{instruction} m: {output_1} M: {output_2}"),)
    question = pair.question(turns)  # type: ignore[arg-type]
    model, tokenizer = load_model(folder)
    messages = [{"role": role, "content": content} for role, content in question.prompt.turns]
    ids = encode_chat(tokenizer, messages, add_generation_prompt=True)[0]
    there = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        last = there(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1]
        model.lm_head.weight.zero_()
        for name, logit in (("m", 3.0), ("M", 2.0)):
            model.lm_head.weight[tokenizer.encode(name)[0]] = logit * last / last.square().sum()
    engine = Engine(model, tokenizer, EngineSettings(cache_tokens=4096))
    (reply,) = replies_of(EngineJudge("judge", lambda: engine), [question])
    assert isinstance(reply, JudgeReply) and reply.text == "m"
    of_first = math.e / (math.e + 1)
    is_model_first = question.prompt.turns[0][1].endswith("m: 7 M: It is 7.")
    expected = 1 + (of_first if is_model_first else 1 - of_first)
    assert pair.preference(reply.first_token) == pytest.approx(expected, abs=1e-4)


def test_the_preferences_above_are_of_both_orders() -> None:
    pairs = [ResponsePair(instruction, "It is 7.", "7") for instruction in ("What is 3 + 4?", "And 3 + 4?")]
    assert {pair.is_model_first for pair in pairs} == {True, False}


def test_a_judge_behind_a_server_replies_alike(folder: Path, address: str) -> None:
    questions = [PREFERENCE, BEGUN, JudgeQuestion(BEGUN.prompt, 1, top_logprobs=3)]
    here = replies_of(EngineJudge("judge", lambda: engine_of(folder)), questions)
    there = replies_of(behind(address), questions)
    for ours, theirs in zip(here, there, strict=True):
        assert isinstance(ours, JudgeReply) and isinstance(theirs, JudgeReply)
        whole = {text: each for text, each in theirs.first_token.items() if not text.startswith("bytes:")}
        assert whole == pytest.approx({t: each for t, each in ours.first_token.items() if t != "\ufffd"}, abs=1e-4)
    assert isinstance(here[1], JudgeReply) and isinstance(there[1], JudgeReply)
    assert there[1].text == here[1].text, "of the others one token was drawn"


def test_a_space_before_a_name_is_part_of_its_token(folder: Path) -> None:
    """The published judge's preference is between "m" and "M" alone; " m" is another token, and stays it."""
    engine = engine_of(folder)
    ids = {text: engine.tokenizer.encode(text) for text in ("a", " a")}
    assert all(len(each) == 1 for each in ids.values())
    halves = engine.tokenizer.encode("数")[:2]
    tokens = {ids[" a"][0]: -0.5, ids["a"][0]: -1.0, halves[0]: -2.0, halves[1]: -3.0, engine.tokenizer.eos_id: -4.0}
    completion = Completion([ids["a"][0]], "a", "length", [-1.0], [tokens])
    first = EngineJudge("judge", lambda: engine).as_reply(completion).first_token
    assert first == {" a": -0.5, "a": -1.0, "\ufffd": -2.0, "": -4.0}


def test_what_has_no_room_has_no_reply(folder: Path, tokenizer: Tokenizer) -> None:
    fits = JudgeQuestion(Prompt("a" * (512 - 6)), 6)
    assert len(tokenizer.encode(fits.prompt.text)) == 512 - 6
    questions = [JudgeQuestion(Prompt("a" * (512 - 5)), 6), fits, JudgeQuestion(Prompt(), 6)]
    long, whole, empty = replies_of(EngineJudge("judge", lambda: engine_of(folder)), questions)
    assert long == empty == NO_ROOM and isinstance(whole, JudgeReply)


def test_a_judge_is_loaded_when_it_is_asked() -> None:
    def load() -> Engine:
        raise AssertionError("nobody asked")

    judge = EngineJudge("judge", load, identity="0123")
    assert (judge.name, judge.identity) == ("judge", "0123")


def test_a_damaged_judge_has_no_reply(folder: Path) -> None:
    model, tokenizer = load_model(folder)
    with torch.no_grad():
        model.model.norm.weight[0] = math.nan
    engine = Engine(model, tokenizer, EngineSettings(cache_tokens=4096))
    for reply in replies_of(EngineJudge("judge", lambda: engine), [PREFERENCE, BEGUN]):
        assert isinstance(reply, str) and "not finite" in reply


def top_of(*likeliest: Any) -> dict[str, Any]:
    """Log-probabilities as chat endpoints write them."""
    return {
        "logprobs": {"content": [{"top_logprobs": [{"token": token, "logprob": each} for token, each in likeliest]}]}
    }


@pytest.mark.parametrize(
    ("value", "reply"),
    [
        (
            chat_answer("m", reason="length", **top_of(("m", -0.1), (" m", -2))),
            JudgeReply("m", {"m": -0.1, " m": -2.0}),
        ),
        (chat_answer("m"), "the judge's server does not return the likeliest tokens"),
        (chat_answer("m", logprobs=None), "the judge's server does not return the likeliest tokens"),
        (chat_answer("m", logprobs={"content": []}), "the judge's server does not return the likeliest tokens"),
        (chat_answer("m", logprobs={"content": None}), "the judge's server does not return the likeliest tokens"),
        (
            chat_answer("m", **top_of(("m", math.nan))),
            "the server gives no number from -1e+30 to 0 as a log-probability: nan",
        ),
        (
            chat_answer("m", **top_of(("m", "0"))),
            "the server gives no number from -1e+30 to 0 as a log-probability: '0'",
        ),
        (chat_answer(None, **top_of(("m", -1))), "the server's answer has no text"),
        (
            chat_answer("m", reason="abort", **top_of(("m", -1))),
            "the server broke its answer off: finish_reason is 'abort'",
        ),
        ({"choices": []}, "the server's answer has no choice"),
        ({}, "the server's answer has no choice"),
    ],
)
def test_what_a_server_makes_of_a_preference(value: Any, reply: JudgeReply | str) -> None:
    with fake_server(lambda handler, seen: (200, value)) as fake:
        assert replies_of(behind(fake.address), [PREFERENCE]) == [reply]
        (seen,) = fake.seen
        messages = [{"role": role, "content": content} for role, content in TURNS]
        assert seen.path == "/v1/chat/completions"
        assert seen.body == {
            "model": "tiny", "max_tokens": 1, "temperature": 1.0, "messages": messages,
            "logprobs": True, "top_logprobs": 5,
        }  # fmt: skip


def test_what_a_server_is_asked_in_plain_text() -> None:
    value = {"choices": [{"text": "yes", "finish_reason": "stop"}]}
    with fake_server(lambda handler, seen: (200, value)) as fake:
        assert replies_of(behind(fake.address), [BEGUN]) == [JudgeReply("yes", {})]
        (seen,) = fake.seen
        assert (seen.path, seen.body) == (
            "/v1/completions", {"model": "tiny", "max_tokens": 6, "temperature": 0.0, "prompt": BEGUN.prompt.text}
        )  # fmt: skip


def test_one_failure_stops_no_other_and_many_stop_all() -> None:
    def answer(handler: Handler, seen: Seen) -> tuple[int, Any] | None:
        if "wait" in seen.body["prompt"]:
            handler.fake.is_over.wait(60)
            return None
        if "down" in seen.body["prompt"]:
            return 500, {"error": {"message": "down"}}
        return 200, {"choices": [{"text": "yes", "finish_reason": "stop"}]}

    def question(text: str) -> JudgeQuestion:
        return JudgeQuestion(Prompt(text), 6)

    with fake_server(answer) as fake:
        judge = behind(fake.address, timeout_seconds=0.3, concurrency=4)
        replies = replies_of(judge, [question("a"), question("wait"), question("down"), question("b")])
        yes = JudgeReply("yes", {})
        assert replies == [yes, "timed out (2 attempts)", "status 500: down (2 attempts)", yes]
        down = judge.reply([question("a"), *[question("down")] * 40])
        assert down[0] == yes and all(isinstance(reply, str) and "down" in reply for reply in down[1:])
        assert len(fake.seen) < 80, "it is not asked for ever"
