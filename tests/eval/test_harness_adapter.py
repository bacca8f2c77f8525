"""Our models in EleutherAI's lm-evaluation-harness: the numbers of its own transformers back end."""

from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import write_model_folder
from olmo2.eval.harness_adapter import HarnessModel
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer

Models = tuple[HarnessModel, HFLM]

PAIRS = [
    ("Question: is a cat an animal?\nAnswer:", " yes"),
    ("Question: is a cat an animal?\nAnswer:", " no, it is a stone"),
    ("Question: is a cat an animal?\nAnswer: ", "yes"),  # a space at the end belongs to what follows
    ("the cat sat on the mat. " * 40, " It was über-glad ✓"),  # longer than the context
    ("", "the whole text"),
]


@pytest.fixture
def models(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> Models:
    """The same folder opened by us and by the harness."""
    with atomic_folder(tmp_path / "model") as partial:
        weights = tiny_model.state_dict()
        write_model_folder(partial, weights, tiny_model.config, tokenizer, dtype=tiny_model.lm_head.weight.dtype)
    folder = str(tmp_path / "model")
    # The harness does not count a text's last token, which no model reads; we do.
    context = tiny_model.config.max_position_embeddings - 1
    theirs = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=2, max_length=context)
    return HarnessModel(folder, device="cpu", dtype="fp32"), theirs


def instances(kind: Any, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    """Return requests as the harness makes them."""
    return [Instance(kind, {}, each, number) for number, each in enumerate(arguments)]


def test_likelihoods_are_the_harness_s(models: Models) -> None:
    """Context cut or not, empty or not, and greedy where it says so."""
    ours, theirs = models
    requests = instances("loglikelihood", PAIRS)
    expected = theirs.loglikelihood(requests, disable_tqdm=True)
    for (logprob, is_greedy), (logprob_there, is_greedy_there) in zip(
        ours.loglikelihood(requests, disable_tqdm=True), expected, strict=True
    ):
        assert logprob == pytest.approx(logprob_there, abs=1e-3)
        assert is_greedy == is_greedy_there


def test_the_likeliest_continuation_is_called_greedy(models: Models) -> None:
    """Among all single tokens."""
    ours, theirs = models
    tokens = [ours.engine.tokenizer.decode([token]) for token in range(ours.engine.vocab_size)]
    requests = instances("loglikelihood", [("the cat", text) for text in tokens if text.isascii() and text.strip()])
    found = [is_greedy for _, is_greedy in ours.loglikelihood(requests, disable_tqdm=True)]
    assert found == [is_greedy for _, is_greedy in theirs.loglikelihood(requests, disable_tqdm=True)]
    assert any(found) and not all(found)


def test_rolling_likelihoods_are_the_harness_s(models: Models) -> None:
    ours, theirs = models
    texts = [("A short text.",), ("the cat sat on the mat and looked at the moon. " * 30,)]
    expected = theirs.loglikelihood_rolling(instances("loglikelihood_rolling", texts), disable_tqdm=True)
    assert ours.loglikelihood_rolling(instances("loglikelihood_rolling", texts)) == pytest.approx(expected, rel=1e-4)


def test_texts_are_the_harness_s(models: Models) -> None:
    ours, theirs = models
    asked = [
        ("the cat", {"until": ["."], "max_gen_toks": 20, "do_sample": False}),
        ("a stone", {"until": ["e"], "max_gen_toks": 20, "do_sample": False}),
    ]
    expected = theirs.generate_until(instances("generate_until", asked), disable_tqdm=True)
    assert ours.generate_until(instances("generate_until", asked)) == expected


def test_chats_are_laid_out_as_the_harness_does(models: Models) -> None:
    ours, theirs = models
    chat = [{"role": "user", "content": "2 + 2?"}]
    assert ours.apply_chat_template(chat) == theirs.apply_chat_template(chat)
    assert ours.apply_chat_template([*chat, {"role": "assistant", "content": "It is"}], False).endswith("It is")
