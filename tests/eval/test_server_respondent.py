"""A model behind our own server has the scores that it has in process; what a bad server says is an error."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.checkpoint.folder import load_model
from olmo2.eval import server_client
from olmo2.eval.questions import Question, questions_of, untokenized_questions_of
from olmo2.eval.respondent import Answer, EngineRespondent, Respondent
from olmo2.eval.server_client import ServerClient, ServerSettings
from olmo2.eval.server_respondent import ServerRespondent, require_conversations
from olmo2.eval.task import AnyItem, Prompt
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.eval.asking import Handler, Seen, chat_answer, fake_server, ranked, task_of, write_model, written
from tests.inference.live_server import serving

pytest.importorskip("fastapi", reason="the server needs the extra serve")

TURNS: Any = (("user", "What is 12 + 30?"), ("assistant", "42"), ("user", "And 3 + 4 – ½ 数? <|endoftext|>"))
PROMPTS = [
    Prompt("Question: 3 + 4?\nAnswer:"),
    Prompt(),
    Prompt(turns=TURNS),
    Prompt("Answer:", TURNS),
    Prompt("a " * 300),
]
CONVERSATIONS = [Prompt(turns=TURNS), Prompt(turns=TURNS[:1]), Prompt(turns=(("system", "Be brief."), *TURNS))]
CONTEXT = 200


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def engine(tmp_path: Path, tokenizer: Tokenizer) -> Engine:
    model, tokenizer = load_model(write_model(tmp_path / "model", tokenizer))
    return Engine(model, tokenizer, EngineSettings(max_sequences=8, cache_tokens=4096))


@pytest.fixture
def address(engine: Engine, tmp_path: Path) -> Iterator[str]:
    with serving(Engine(engine.model, engine.tokenizer, EngineSettings(max_sequences=4, cache_tokens=4096))) as address:
        yield f"{address}/v1"


def answers_of(respondent: Respondent, questions: Sequence[Question]) -> list[Answer]:
    found: dict[int, Answer] = {}
    respondent.answer(questions, found.__setitem__)
    return [found[number] for number in range(len(questions))]


def behind(address: str, *, has_tokens: bool, **settings: Any) -> ServerRespondent:
    settings = {"attempts": 2, "timeout_seconds": 60, **settings}
    return ServerRespondent(ServerClient(address, "tiny", ServerSettings(**settings)), has_tokens=has_tokens)


@pytest.mark.parametrize("stop", [(), ("e", " a")])
def test_with_the_tokenizer_a_server_answers_as_the_engine_does(
    engine: Engine, address: str, stop: tuple[str, ...]
) -> None:
    items: list[AnyItem] = [*(written(number, prompt) for number, prompt in enumerate(PROMPTS))]
    items += [ranked(10 + number, prompt, [" 7", " 数 🧮", " 3 + 4"]) for number, prompt in enumerate(PROMPTS)]
    questions = questions_of(task_of(items, stop=stop), items, engine.tokenizer, context=CONTEXT)
    here = answers_of(EngineRespondent(engine), questions)
    there = answers_of(behind(address, has_tokens=True), questions)
    assert [each.error for each in there] == [""] * len(questions)
    assert [each.text for each in there] == [each.text for each in here] and any(each.text for each in here)
    assert [each.logprob for each in there] == pytest.approx([each.logprob for each in here], abs=1e-4)
    assert [each.num_tokens for each in there] == [each.num_tokens for each in here]
    assert [each.is_unfinished for each in there] == [each.is_unfinished for each in here]


def test_without_it_conversations_are_answered_alike(engine: Engine, address: str) -> None:
    items = [written(number, prompt) for number, prompt in enumerate(CONVERSATIONS)]
    task = task_of(items, max_new_tokens=12)
    here = answers_of(EngineRespondent(engine), questions_of(task, items, engine.tokenizer, context=CONTEXT))
    there = answers_of(behind(address, has_tokens=False), untokenized_questions_of(task, items, context=CONTEXT))
    assert [(each.text, each.error) for each in there] == [(each.text, "") for each in here]


def test_an_answer_as_long_as_the_context_may_take_what_room_there_is(engine: Engine, address: str) -> None:
    item = written(0, CONVERSATIONS[1])
    questions = untokenized_questions_of(task_of([item], max_new_tokens=8192), [item], context=512)
    (answer,) = answers_of(behind(address, has_tokens=False), questions)
    assert not answer.error and answer.num_tokens > 100


def test_what_the_server_refuses_is_an_error_of_that_question(engine: Engine, address: str) -> None:
    items = [written(0, Prompt("a " * 600)), written(1, Prompt("a"))]
    questions = questions_of(task_of(items), items, engine.tokenizer, context=2000)
    long, short = answers_of(behind(address, has_tokens=True), questions)
    assert long.error.startswith("status 400: the prompt has ") and long.text == ""
    assert short.text and not short.error


def requests_for(items: list[AnyItem], tokenizer: Tokenizer | None, **task: Any) -> list[dict[str, Any]]:
    """The bodies that a server is sent."""
    made = task_of(items, **task)
    with fake_server(lambda handler, seen: (200, {})) as fake:
        questions = (
            untokenized_questions_of(made, items, context=100)
            if tokenizer is None
            else questions_of(made, items, tokenizer, context=100)
        )
        answers_of(behind(fake.address, has_tokens=tokenizer is not None, concurrency=1), questions)
        return [{"path": each.path, **each.body} for each in fake.seen]


def test_what_is_sent(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("7 +")
    (asked,) = requests_for([written(0, Prompt("7 +"))], tokenizer, stop=("\n",))
    common = {"model": "tiny", "temperature": 0}
    assert asked == {
        **common, "path": "/v1/completions", "prompt": ids, "max_tokens": 8, "stop": ["\n"], "seed": 0
    }  # fmt: skip
    (asked,) = requests_for([ranked(0, Prompt("7"), [" +"])], tokenizer)
    assert asked == {
        **common, "path": "/v1/completions", "prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 1
    }  # fmt: skip
    (asked,) = requests_for([written(0, CONVERSATIONS[1])], None)
    messages = [{"role": "user", "content": "What is 12 + 30?"}]
    assert asked == {**common, "path": "/v1/chat/completions", "messages": messages, "max_tokens": 8, "seed": 0}


def one_answer(
    answer: Callable[[Handler, Seen], Any], item: AnyItem, tokenizer: Tokenizer | None, **task: Any
) -> Answer:
    """What comes of one question to a server."""
    made = task_of([item], **task)
    with fake_server(answer) as fake:
        questions = (
            untokenized_questions_of(made, [item], context=100)
            if tokenizer is None
            else questions_of(made, [item], tokenizer, context=100)
        )
        (found,) = answers_of(behind(fake.address, has_tokens=tokenizer is not None, timeout_seconds=0.5), questions)
        return found


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "the server's answer has no choice"),
        ({"choices": []}, "the server's answer has no choice"),
        (chat_answer(None), "the server's answer has no text"),
        (chat_answer(["7"]), "the server's answer has no text"),
        (chat_answer(reason=None), "the server broke its answer off: finish_reason is None"),
        (chat_answer(reason="abort"), "the server broke its answer off: finish_reason is 'abort'"),
        ({"choices": [{"finish_reason": "stop"}]}, "the server's answer has no text"),
        ({"choices": [{"finish_reason": "stop", "text": "7"}]}, "the server's answer has no text"),
    ],
)
def test_answers_that_are_none(value: Any, says: str) -> None:
    found = one_answer(lambda handler, seen: (200, value), written(0, CONVERSATIONS[1]), None)
    assert found == Answer(error=says)


@pytest.mark.parametrize(
    ("usage", "num_tokens"),
    [
        ({"completion_tokens": 3}, 3),
        (None, 0),
        ({}, 0),
        ({"completion_tokens": "3"}, 0),
        ({"completion_tokens": -3}, 0),
        (7, 0),
    ],
)
def test_a_server_need_not_count(usage: Any, num_tokens: int) -> None:
    value = {**chat_answer("7", reason="length"), "usage": usage}
    found = one_answer(lambda handler, seen: (200, value), written(0, CONVERSATIONS[1]), None)
    assert found == Answer("7", 0.0, num_tokens, True)


def test_a_server_that_knows_no_stops() -> None:
    value = chat_answer("7 and\n\nQuestion: what", reason="length")
    found = one_answer(
        lambda handler, seen: (200, value), written(0, CONVERSATIONS[1]), None, stop=("Question:", "\n\n")
    )
    assert found == Answer("7 and", 0.0, 0, False)


GOOD = [None, -1.0, -2.0, -0.5, -0.25]


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (GOOD, ""),
        ([*GOOD, -7.0], ""),  # and of a token that was written nevertheless
        (GOOD[:-1], "the server returns 4 log-probabilities of 5 tokens"),
        ([*GOOD, -1.0, -1.0], "the server returns 7 log-probabilities of 5 tokens"),
        ([], "the server does not return log-probabilities of the prompt"),
        (None, "the server does not return log-probabilities of the prompt"),
        ("-1", "the server does not return log-probabilities of the prompt"),
        ([-3.0, *GOOD[1:]], "the server does not return log-probabilities of the prompt"),  # of what it wrote
        ([*GOOD[:-1], math.nan], "the server gives no number from -1e+30 to 0 as a log-probability: nan"),
        ([*GOOD[:-1], None], "the server gives no number from -1e+30 to 0 as a log-probability: None"),
        ([*GOOD[:-1], "-1"], "the server gives no number from -1e+30 to 0 as a log-probability: '-1'"),
        ([*GOOD[:-1], 1.0], "the server gives no number from -1e+30 to 0 as a log-probability: 1.0"),
    ],
)
def test_measurements_that_are_none(told: Any, says: str, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("7 + 3 =")
    assert len(ids) == 5
    value = {"choices": [{"text": "", "finish_reason": "length", "logprobs": {"token_logprobs": told}}]}
    found = one_answer(lambda handler, seen: (200, value), ranked(0, Prompt("7 +"), [" 3 ="]), tokenizer)
    assert found == (Answer(error=says) if says else Answer(logprob=-2.75, num_tokens=3))


@pytest.mark.parametrize(
    "value", [{"choices": [{"text": "7", "logprobs": None}]}, {"choices": [{"logprobs": [1]}]}, {}]
)
def test_measurements_in_no_form(value: Any, tokenizer: Tokenizer) -> None:
    found = one_answer(lambda handler, seen: (200, value), ranked(0, Prompt("7 +"), [" 3 ="]), tokenizer)
    assert found.error.startswith("the server") and found.num_tokens == 0


def test_what_needs_tokens_is_refused_without() -> None:
    for item, says in (
        (ranked(0, Prompt(turns=TURNS), ["7"]), "made:up measures continuations: name the model's tokenizer"),
        (written(0, Prompt("7 +")), "made:up continues a text, which needs the model's tokenizer"),
        (written(0, Prompt("Answer:", TURNS)), "made:up begins the answer, which needs the model's tokenizer"),
    ):
        with pytest.raises(UsageError, match=f"^{says}.*--tokenizer=FOLDER$"):
            require_conversations(task_of([item]), [item])
    item = written(0, CONVERSATIONS[0])
    assert require_conversations(task_of([item]), [item]) is None  # type: ignore[func-returns-value]
