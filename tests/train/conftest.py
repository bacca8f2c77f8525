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


@pytest.fixture(autouse=True)
def hasty_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the machine's peak hastily: every run does, and only its logged utilisation depends on it."""
    monkeypatch.setattr("olmo2.parallel.device.PEAK_SECONDS", 0.01)


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    """A folder with tokenizer/, tokens/, tokens-heldout/ and conversations.jsonl."""
    return write_corpus(tmp_path, tokenizer)


def write_corpus(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    """Fill a folder as `corpus` describes."""
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


def classic_values(tmp_path: Path, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an old config of a tiny model, with `changes` by dotted key."""
    values: dict[str, Any] = {
        "run_name": "tiny",
        "save_folder": str(tmp_path / "tuned"),
        "load_path": str(tmp_path / "parent"),
        "model": {
            "d_model": 32,
            "n_heads": 4,
            "n_kv_heads": 2,
            "n_layers": 2,
            "mlp_hidden_size": 128,  # gate and up projection together
            "max_sequence_length": 64,
            "vocab_size": 380,
            "embedding_size": 384,
            "weight_tying": False,
            "rope": True,
            "rope_theta": 500_000,
            "attention_dropout": 0.0,
            "residual_dropout": 0.0,
            "embedding_dropout": 0.0,
            "include_bias": False,
            "layer_norm_type": "rms",
            "layer_norm_eps": 1e-6,
            "attention_layer_norm": True,
            "norm_after": True,
        },
        "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1, "decay_norm_and_bias": True},
        "scheduler": {"name": "linear_with_warmup", "t_warmup": 0, "alpha_f": 0},
        "data": {"paths": [str(tmp_path / "input_ids.npy")]},
        "max_duration": 10,
        "global_train_batch_size": 4,
        "precision": "fp32",
        "max_grad_norm": 1.0,
    }
    for key, value in (changes or {}).items():
        *groups, last = key.split(".")
        part = values
        for group in groups:
            part = part.setdefault(group, {})
        part[last] = value
    return values
