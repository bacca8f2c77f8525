"""Log-likelihoods and greedy texts are those of transformers, as lm-evaluation-harness and generate() compute them."""

import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from olmo2.checkpoint.folder import load_model
from olmo2.eval import respondent
from olmo2.eval.questions import Question, questions_of
from olmo2.eval.respondent import Answer, EngineRespondent
from olmo2.eval.task import AnyItem, Prompt, Task
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.engine_base import EngineBase
from olmo2.inference.model_choice import ModelRecipe
from olmo2.tokenizer.special_tokens import END_OF_TEXT
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.conftest import TINY
from tests.eval.asking import ROOMY, ranked, task_of, write_model, written
from tests.inference import vllm_stand_in

TURNS: Any = (("user", "What is 12 + 30?"), ("assistant", "The answer is 42."), ("user", "Was sind 3 + 4 – ½ 数? 🧮"))
PROMPTS = [
    Prompt("Question: Ann has 3 apples and buys 4 more.\nAnswer:"),
    Prompt("Answer:\n "),
    Prompt(),
    Prompt("Ünïcødé 数学"),
    Prompt(turns=TURNS),
    Prompt("Answer:", TURNS),
    Prompt("long " * 100),  # longer than the context of 128
]
CONTINUATIONS = [" 7", " 3 + 4 = 7 apples.", " 数学 🧮"]


@pytest.fixture
def folder(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    return write_model(tmp_path / "model", tokenizer, TINY)


def engine_of(folder: Path) -> Engine:
    return Engine(*load_model(folder), EngineSettings(max_sequences=8, cache_tokens=4096))


def answers_of(engine: EngineBase, task: Task, items: Sequence[AnyItem], *, context: int | None = None) -> list[Answer]:
    """The answers to all questions, in their order."""
    return answered(engine, questions_of(task, items, engine.tokenizer, context=context or engine.longest))


def answered(engine: EngineBase, questions: Sequence[Question]) -> list[Answer]:
    found: dict[int, Answer] = {}
    EngineRespondent(engine).answer(questions, found.__setitem__)
    return [found[number] for number in range(len(questions))]


def as_text(prompt: Prompt, tokenizer: Any) -> str:
    """A prompt as transformers' own template lays it out."""
    if not prompt.turns:
        return prompt.text
    messages = [{"role": role, "content": content} for role, content in prompt.turns]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False) + prompt.text


def harness(folder: Path, *, context: int, **settings: Any) -> HFLM:
    """The harness on the same folder; it does not count the last token of a text, which no model reads."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, **settings)
    return HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=1, max_length=context - 1)


def logprobs_there(theirs: HFLM, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """What the harness measures."""
    instances = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    return [logprob for logprob, _ in theirs.loglikelihood(instances, disable_tqdm=True)]


def test_likelihoods_are_those_of_transformers(folder: Path) -> None:
    """Plain and as conversations, without a prompt, in any script, and cut to the context."""
    engine, theirs = engine_of(folder), harness(folder, context=TINY.max_position_embeddings)
    items = [ranked(number, prompt, CONTINUATIONS) for number, prompt in enumerate(PROMPTS)]
    answers = answers_of(engine, task_of(items), items)
    pairs = [
        # An answer that stands alone in its turn has no space before it (OLMES).
        (as_text(prompt, theirs.tokenizer), each.lstrip() if prompt.turns and not prompt.text else each)
        for prompt, each in itertools.product(PROMPTS, CONTINUATIONS)
    ]
    assert [answer.logprob for answer in answers] == pytest.approx(logprobs_there(theirs, pairs), abs=1e-4)
    assert {answer.error for answer in answers} == {""} and min(answer.num_tokens for answer in answers) >= 1


def test_likelihoods_of_text_that_looks_like_control_tokens(folder: Path) -> None:
    theirs = harness(folder, context=TINY.max_position_embeddings, split_special_tokens=True)
    prompt, continuation = f"is {END_OF_TEXT} a word?", f" {END_OF_TEXT}!"
    item = ranked(0, Prompt(prompt), [continuation])
    (answer,) = answers_of(engine_of(folder), task_of([item]), [item])
    assert [answer.logprob] == pytest.approx(logprobs_there(theirs, [(prompt, continuation)]), abs=1e-4)


@pytest.mark.parametrize(("limit", "stop"), [(12, ()), (64, ()), (12, (" ", "e")), (12, ("never",))])
def test_greedy_texts_are_those_of_transformers(folder: Path, limit: int, stop: tuple[str, ...]) -> None:
    """A limit of half the context is the most that is kept for an answer."""
    engine, theirs = engine_of(folder), harness(folder, context=TINY.max_position_embeddings + 1)
    items = [written(number, prompt) for number, prompt in enumerate(PROMPTS) if prompt != Prompt()]
    answers = answers_of(engine, task_of(items, max_new_tokens=limit, stop=stop), items)
    tokenizer: Any = theirs.tokenizer
    for item, answer in zip(items, answers, strict=True):
        ids = tokenizer(as_text(item.prompt, tokenizer), add_special_tokens=False, return_tensors="pt").input_ids
        ids = ids[:, -(TINY.max_position_embeddings - limit) :]
        end = [engine.tokenizer.eos_id]
        made = theirs.model.generate(ids, max_new_tokens=limit, do_sample=False, eos_token_id=end, pad_token_id=0)
        new = made[0, ids.shape[1] :].tolist()
        text = tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        expected = min((text.split(each)[0] for each in stop), key=len, default=text)
        assert answer.text == expected
        assert answer.is_unfinished == (expected == text and len(new) == limit and new[-1] not in end)


def test_the_harness_writes_the_same_to_prompts_that_are_cut(folder: Path) -> None:
    engine, theirs = engine_of(folder), harness(folder, context=TINY.max_position_embeddings + 1)
    item = written(0, PROMPTS[-1])
    (answer,) = answers_of(engine, task_of([item], max_new_tokens=16), [item])
    asked: Any = (item.prompt.text, {"until": [END_OF_TEXT], "max_gen_toks": 16, "do_sample": False})
    assert theirs.generate_until([Instance("generate_until", {}, asked, 0)], disable_tqdm=True) == [answer.text]


def test_one_question_without_numbers_stops_no_other(folder: Path) -> None:
    """As float16 is too narrow for a few texts, or a weight is damaged that few texts touch."""
    model, tokenizer = load_model(folder)
    (bad,) = tokenizer.encode("x")
    with torch.no_grad():
        model.model.embed_tokens.weight[bad] = math.nan
    engine = Engine(model, tokenizer, EngineSettings(max_sequences=8, cache_tokens=4096))
    prompts = [Prompt("a b"), Prompt("a x b"), Prompt("c d")]
    items: list[AnyItem] = [
        *map(written, range(3), prompts),
        *(ranked(3 + n, each, [" e"]) for n, each in enumerate(prompts)),
    ]
    answers = answers_of(engine, task_of(items), items)
    failed = [bool(answer.error) for answer in answers]
    assert failed == [False, True, False] * 2
    assert "not finite" in answers[1].error and "not finite" in answers[4].error
    assert engine.is_idle


def test_more_questions_than_an_engine_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(folder)
    items: list[AnyItem] = [written(number, Prompt(f"{number} +")) for number in range(9)]
    items += [ranked(9, Prompt("3 +"), CONTINUATIONS)]
    questions = questions_of(task_of(items), items, engine.tokenizer, context=engine.longest)
    at_once = answered(engine, questions)
    monkeypatch.setattr(respondent, "MOST_SUBMITTED", 2)
    held = []
    step = engine.step

    def counted() -> Any:
        held.append(len(engine.sequences))
        return step()

    monkeypatch.setattr(engine, "step", counted)
    two_at_a_time = answered(engine, questions)
    assert [each.text for each in two_at_a_time] == [each.text for each in at_once]
    assert [each.logprob for each in two_at_a_time] == pytest.approx([each.logprob for each in at_once], abs=1e-5)
    assert max(held) == 2 and engine.is_idle


def test_an_interrupt_leaves_an_idle_engine(folder: Path) -> None:
    engine = engine_of(folder)
    items = [written(number, Prompt("1 " * number)) for number in range(1, 5)]
    questions = questions_of(task_of(items), items, engine.tokenizer, context=engine.longest)

    def interrupt(number: int, answer: Answer) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EngineRespondent(engine).answer(questions, interrupt)
    assert engine.is_idle
    assert not any(answer.error for answer in answered(engine, questions))


def test_vllm_as_the_respondent(tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", vllm_stand_in)
    folder = write_model(tmp_path / "roomy", tokenizer, ROOMY)
    items: list[AnyItem] = [
        *(ranked(number, prompt, CONTINUATIONS) for number, prompt in enumerate(PROMPTS)),
        *(written(10 + number, prompt) for number, prompt in enumerate(PROMPTS)),
    ]
    task = task_of(items, stop=("e",))
    ours = answers_of(engine_of(folder), task, items, context=200)
    theirs = answers_of(ModelRecipe(model=str(folder), backend="vllm").load(), task, items, context=200)
    assert [each.text for each in theirs] == [each.text for each in ours]
    assert [each.logprob for each in theirs] == pytest.approx([each.logprob for each in ours], abs=1e-4)
    assert [each.num_tokens for each in theirs] == [each.num_tokens for each in ours]
