"""Perplexities of documents against lm-evaluation-harness's of the same folder, and against counting by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import write_model_folder
from olmo2.cli import run
from olmo2.corpus.document import Document
from olmo2.eval.perplexity import PerplexityRecipe, Text, by_domain, count_words, exponential, perplexity, window_of
from olmo2.eval.statistics import Estimate
from olmo2.inference.engine import Engine
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer

TEXTS = {
    "prose": ["The quick brown fox jumps over the lazy dog. " * 40, "", "x", "What is 12 + 30?\n\nThe answer is 42.\n"],
    "signs": ["Grüße, naïve café — ¿qué tal? " * 9, "日本語の文章です。" * 30, "🦊🦊🦊 \u2003 🐶", "  \t\n "],
}


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> Path:
    """A folder with model/, prose.jsonl and signs/."""
    with atomic_folder(tmp_path / "model") as partial:
        write_model_folder(partial, tiny_model.state_dict(), tiny_model.config, tokenizer, dtype=torch.float32)
    (tmp_path / "signs").mkdir()
    for name, file in (("prose", tmp_path / "prose.jsonl"), ("signs", tmp_path / "signs" / "part.jsonl")):
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[name]))
    return tmp_path


def recipe_of(folder: Path, **changes: Any) -> PerplexityRecipe:
    documents = [str(folder / "prose.jsonl"), str(folder / "signs")]
    return PerplexityRecipe(model=str(folder / "model"), documents=documents, device="cpu", **changes)


@pytest.fixture
def harness(folder: Path) -> Any:
    """lm-evaluation-harness's model of the folder, which reads 40 tokens at a time."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    pytest.importorskip("transformers").utils.logging.disable_progress_bar()
    return huggingface.HFLM(
        pretrained=str(folder / "model"), device="cpu", dtype="float32", max_length=40, batch_size=3, max_batch_size=3
    )


def test_equals_lm_eval(folder: Path, harness: Any) -> None:
    from lm_eval.api import metrics
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import PerplexityTask

    found = perplexity(recipe_of(folder, context_tokens=41, output=str(folder / "out")))

    texts = [text for domain in TEXTS.values() for text in domain]
    requests = [Instance("loglikelihood_rolling", {}, (text,), number) for number, text in enumerate(texts)]
    expected = harness.loglikelihood_rolling(requests, disable_tqdm=True)
    rows = [json.loads(line) for line in (folder / "out" / "documents.jsonl").read_text().splitlines()]
    assert [-row["nats"] for row in rows] == pytest.approx(expected, rel=1e-3)
    assert [row["domain"] for row in rows] == ["prose"] * 4 + ["signs"] * 4
    assert rows[0]["tokens"] > 10 * 40 and [rows[place]["tokens"] for place in (1, 2)] == [0, 1]

    for name, first in (("prose", 0), ("signs", 4)):
        texts, likelihoods = TEXTS[name], expected[first : first + 4]
        words = [(each, PerplexityTask.count_words(text)) for each, text in zip(likelihoods, texts, strict=True)]
        sizes = [(each, PerplexityTask.count_bytes(text)) for each, text in zip(likelihoods, texts, strict=True)]
        domain = found.domains[name]
        per_word = exponential(domain.nats_per_word)
        assert per_word is not None
        assert per_word.value == pytest.approx(metrics.weighted_perplexity(words), rel=1e-3)
        per_byte = exponential(domain.nats_per_byte)
        assert per_byte is not None
        assert per_byte.value == pytest.approx(metrics.weighted_perplexity(sizes), rel=1e-3)
        assert domain.bits_per_byte.value == pytest.approx(metrics.bits_per_byte(sizes), rel=1e-3)
        assert (domain.num_words, domain.num_bytes) == (sum(n for _, n in words), sum(n for _, n in sizes))


def text_of(source: str, num_tokens: int, num_words: int, num_bytes: int) -> Text:
    return Text(Document("1", "", source, "f:1"), np.zeros(num_tokens, np.uint32), num_words, num_bytes)


def test_pooled_and_mean_by_hand() -> None:
    """Two documents of 10 and 30 tokens at 2 and 4 nats a token, and a domain of one with 20 at 1."""
    texts = [text_of("a", 10, 5, 40), text_of("a", 30, 10, 60), text_of("b", 20, 1, 50)]
    found = by_domain(texts, [20.0, 120.0, 20.0])
    a, b = found.domains["a"], found.domains["b"]
    assert a.nats_per_token.value == pytest.approx(140 / 40)
    assert a.nats_per_word.value == pytest.approx(140 / 15)
    assert a.bits_per_byte.value == pytest.approx(140 / 100 / math.log(2))
    # residuals of a ratio: 20 - 3.5·10 = -15 and 120 - 3.5·30 = 15; √(2·(15² + 15²)) / 40
    assert a.nats_per_token.standard_error == pytest.approx(math.sqrt(2 * 450) / 40)
    assert b.nats_per_token.standard_error is None
    assert found.pooled.nats_per_token.value == pytest.approx(160 / 60)
    assert found.mean.nats_per_token.value == pytest.approx((3.5 + 1) / 2)
    per_token = exponential(found.mean.nats_per_token)
    assert per_token is not None and per_token.value == pytest.approx(math.sqrt(math.exp(3.5) * math.exp(1)))


def test_words_as_lm_eval_counts_them() -> None:
    task = pytest.importorskip("lm_eval.api.task").PerplexityTask
    for text in (text for domain in TEXTS.values() for text in domain):
        assert count_words(text) == task.count_words(text)


def test_a_perplexity_beyond_numbers() -> None:
    """A text in Japanese is one word: e to its nats may have no floating-point number."""
    assert exponential(Estimate(2000.0, 3.0, 2)) is None
    small = exponential(Estimate(math.log(8), 0.25, 4))
    assert small is not None and (small.value, small.standard_error) == pytest.approx((8, 2))


def test_what_is_printed_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "long.txt").write_text("日本語の文章です" * 50)  # one word
    paths = [str(folder / name) for name in ("model", "prose.jsonl", "long.txt")]
    assert run(["perplexity", *paths, "--device=cpu", "--json", f"--output={folder / 'out'}"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((folder / "out" / "perplexity.json").read_text())
    assert printed["context_tokens"] == 128 and printed["domains"]["long"]["perplexity_per_word"] is None
    assert printed["pooled"]["documents"] == 5
    assert run(["perplexity", *paths, "--device=cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["domain", "prose", "long", "all", "mean"]
    assert f"{printed['domains']['prose']['nats_per_token']:.4f}" in lines[1].split()
    assert "> 1e+299" in lines[2]


def test_vllm_has_room_for_one_token_less(folder: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> None:
    engine = Engine(tiny_model, tokenizer)
    recipes = [recipe_of(folder), PerplexityRecipe(model="m", documents=["d"], backend="vllm")]
    assert [window_of(recipe, engine) for recipe in recipes] == [128, 127]


def test_more_context_predicts_no_other_tokens(folder: Path) -> None:
    far, near = (perplexity(recipe_of(folder, context_tokens=20, overlap_tokens=n)).pooled for n in (19, 1))
    assert far.num_tokens == near.num_tokens
    assert far.nats_per_token.value != near.nats_per_token.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overlap_tokens": 128}, "overlap_tokens 128 must be lower than the 128 of a window"),
        ({"documents": ["EMPTY"]}, "documents: all documents of empty are empty; name others"),
        ({"documents": ["nowhere"]}, "documents: there is no file or folder nowhere"),
    ],
)
def test_wrong_use(folder: Path, changes: dict[str, Any], message: str) -> None:
    (folder / "empty.jsonl").write_text('{"text": ""}\n')
    if changes.get("documents") == ["EMPTY"]:
        changes = {"documents": [str(folder / "prose.jsonl"), str(folder / "empty.jsonl")]}
    recipe = recipe_of(folder).model_copy(update=changes)
    with pytest.raises(UsageError, match=message):
        perplexity(recipe)
