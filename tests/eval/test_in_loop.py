"""Benchmarks read in batches against one forward of torch for each option by itself."""

import json
import math
from pathlib import Path

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.eval.in_loop import InLoopTask, open_task, score_in_loop
from olmo2.eval.task_list import TASKS
from olmo2.model.transformer import Transformer
from olmo2.parallel.ranks import alone
from olmo2.tokenizer.tokenizer import Tokenizer

ROWS = [  # question, options, place of the right one
    ("What rises from a kettle?", ["a chair", "a cloud that is far away", "steam"], 2),
    ("What do foxes have?", ["wheels", "fur", "strings", "a keyboard and a screen"], 1),
    ("What is 12 + 30?", ["7", "about a thousand", "42"], 2),
    ("What falls from the sky when it is cold outside?", ["snow", "sand"], 0),
    ("What is hard?", ["a stone", "water", "the light", "the wind"], 0),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with questions of our own in the form of ARC, and arithmetic in that of GSM8K."""
    (tmp_path / "arc").mkdir()
    rows = [
        {"question": question, "choices": {"text": options, "label": list("ABCD")}, "answerKey": "ABCD"[place]}
        for question, options, place in ROWS
    ]
    (tmp_path / "arc" / "ARC-Challenge_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text('{"question": "1 + 1?", "answer": "It is 2.\\n#### 2"}\n')
    return tmp_path


def opened(data: Path, tokenizer: Tokenizer, *, name: str = "arc_challenge:rc", **changes: int) -> InLoopTask:
    settings: dict[str, int] = {"context": 4096, "batch_tokens": 2048} | changes
    limit = settings.pop("limit", None)
    return open_task(TASKS[name], data, tokenizer, limit=limit, **settings)


def logprob(model: Transformer, tokenizer: Tokenizer, prompt: str, continuation: str) -> float:
    """The log-likelihood of a continuation, token by token."""
    begin, ids = len(tokenizer.encode(prompt)), tokenizer.encode(prompt + continuation)
    logprobs = model(torch.tensor([ids]))[0].log_softmax(-1)
    return math.fsum(logprobs[place - 1, ids[place]].item() for place in range(begin, len(ids)))


@pytest.mark.parametrize(("batch_tokens", "multiple"), [(1, 1), (2048, 1), (10**6, 48)])
@torch.no_grad()
def test_scores_are_those_of_each_option_alone(
    data: Path, tokenizer: Tokenizer, tiny_model: Transformer, batch_tokens: int, multiple: int
) -> None:
    tiny_model.lm_head.weight *= 10  # options differ more than by rounding
    task = opened(data, tokenizer, batch_tokens=batch_tokens, multiple=multiple)
    found = score_in_loop(tiny_model, task, alone())

    right, bits = [], []
    for item, (_, options, answer) in zip(task.items, ROWS, strict=True):
        texts = [f" {text}" for text in options]
        given = [logprob(tiny_model, tokenizer, item.options[0].prompt.text, text) for text in texts]
        without = [logprob(tiny_model, tokenizer, "Answer:", text) for text in texts]
        gains = [one - other for one, other in zip(given, without, strict=True)]
        right.append(gains.index(max(gains)) == answer)
        bits.append(-given[answer] / math.log(2) / len(texts[answer]))
    assert found == {
        "acc_uncond": pytest.approx(sum(right) / 5),
        "correct_bits_per_byte": pytest.approx(sum(bits) / 5, rel=1e-4),
    }
    assert 0 < sum(right) < 5, "the weights must tell the options apart"


def test_batches_have_no_more_tokens_than_asked_for(data: Path, tokenizer: Tokenizer) -> None:
    task = opened(data, tokenizer, batch_tokens=4096, multiple=48)
    shapes = [tuple(batch.input_ids.shape) for batch in task.batches]
    assert len(shapes) > 1 and all(rows == 1 or rows * length <= 4096 for rows, length in shapes)
    assert all(length % 48 == 0 for _, length in shapes)
    assert sum(rows for rows, _ in shapes) == 2 * sum(len(options) for _, options, _ in ROWS)


def test_a_limit_and_what_is_not_as_published(data: Path, tokenizer: Tokenizer) -> None:
    task = opened(data, tokenizer, limit=2, context=64)
    assert len(task.items) == 2
    assert max(len(question.ids) for question in task.questions) == 64
    assert "examples written by us" in task.notes[0]
    assert "prompts lose their beginning: a sequence has 64 tokens" in task.notes[-1]


def test_a_model_that_has_diverged_ends_nothing(data: Path, tokenizer: Tokenizer, tiny_model: Transformer) -> None:
    with torch.no_grad():
        tiny_model.lm_head.weight.fill_(math.nan)
    found = score_in_loop(tiny_model, opened(data, tokenizer), alone())
    assert list(found) == ["acc_uncond"] and math.isnan(found["acc_uncond"])


def test_answers_in_writing_are_refused(data: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="gsm8k is answered in writing"):
        opened(data, tokenizer, name="gsm8k")
