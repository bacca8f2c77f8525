"""A tiny corpus on disk and recipes for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.config import make_recipe
from olmo2.data.tokenize import TokenizeRecipe, tokenize
from olmo2.model.init import initial_weights
from olmo2.parallel.ranks import alone
from olmo2.tokenizer.tokenizer import Tokenizer, load_tokenizer
from olmo2.train.assemble import Job, Start, assemble
from olmo2.train.pretrain import PretrainRecipe

SENTENCES = ("The {} brown fox jumps over the lazy dog.", "What is {} + 30?", "def add(left, right): return {}")
TINY_MODEL = {
    "size": "olmo2-1m",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    """A folder with tokenizer/, tokens/, tokens-heldout/ and conversations.jsonl."""
    lines = [json.dumps({"text": " ".join(text.format(number) for text in SENTENCES)}) for number in range(300)]
    (tmp_path / "text.jsonl").write_text("\n".join(lines))
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(tmp_path / "tokenizer")
    tokenize(
        TokenizeRecipe(
            documents=[str(tmp_path / "text.jsonl")],
            tokenizer=str(tmp_path / "tokenizer"),
            output=str(tmp_path / "tokens"),
            heldout_every=10,
        )
    )
    chats = [
        {"messages": [{"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": f"{n + 1}."}]}
        for n in range(200)
    ]
    (tmp_path / "conversations.jsonl").write_text("\n".join(map(json.dumps, chats)))
    return tmp_path


def pretrain_values(corpus: Path, folder: str = "run", **run: Any) -> dict[str, Any]:
    """Return the settings of a run of six steps in float32."""
    return {
        "model": TINY_MODEL,
        "tokenizer": str(corpus / "tokenizer"),
        "data": {"paths": [str(corpus / "tokens")], "seq_len": 32},
        "optim": {"peak_lr": 1e-2, "skip_step": {"window_steps": 8, "min_steps": 3}},
        "schedule": {"warmup_tokens": 256, "decay": "cosine"},
        "heldout": {"paths": [str(corpus / "tokens-heldout")]},
        "keep": {"save_every_steps": None},
        "run": {
            "folder": str(corpus / folder),
            "stage": "stage1",
            "total_tokens": 6 * 256,
            "global_batch_tokens": 256,
            "micro_batch_sequences": 4,
            "dtype": "fp32",
            "compile": False,
            "log_every_steps": 1,
        }
        | run,
    }


def pretrain_recipe(
    corpus: Path, folder: str = "run", *, changes: dict[str, Any] | None = None, **run: Any
) -> PretrainRecipe:
    """Return the recipe of those settings with top-level `changes`."""
    return make_recipe(PretrainRecipe, pretrain_values(corpus, folder, **run) | (changes or {}), "test")


def new_job(recipe: PretrainRecipe) -> Job:
    """Return the job of a recipe for one process."""
    return assemble(recipe, lambda: new_model(recipe), recipe.data.windows, alone())


def new_model(recipe: PretrainRecipe) -> Start:
    """Return the random weights and the tokenizer that a run starts from."""
    tokenizer = load_tokenizer(recipe.tokenizer)
    config = recipe.model.config(tokenizer.vocab_size)
    return Start(config, tokenizer, initial_weights(config, recipe.run.seed))
