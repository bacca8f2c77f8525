"""Stage 1: weights from the seed, data as described, and a folder that transformers opens."""

from pathlib import Path

import numpy as np
import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.checkpoint.folder import load_model
from olmo2.train.pretrain import ModelSettings, pretrain
from tests.train.conftest import TINY_MODEL, pretrain_recipe


def test_model_settings_change_single_fields() -> None:
    config = ModelSettings.model_validate(TINY_MODEL).config(vocab_size=380)
    assert (config.hidden_size, config.num_key_value_heads, config.vocab_size) == (32, 2, 384)
    with pytest.raises(UsageError, match=r"there is no size 'olmo2-2b'; known: olmo2-1m"):
        ModelSettings(size="olmo2-2b").config(100)


def test_equal_seeds_give_equal_bits(corpus: Path) -> None:
    first, second = (pretrain(pretrain_recipe(corpus, name)) for name in ("a", "b"))
    other = pretrain(pretrain_recipe(corpus, "c", seed=1))
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_checkpoint_opens_in_transformers(corpus: Path) -> None:
    transformers = pytest.importorskip("transformers")
    checkpoint = pretrain(pretrain_recipe(corpus))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model, _ = load_model(checkpoint)
    ids = torch.tensor([tokenizer("The quick brown fox")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-5, rtol=0)


def test_masked_tokens_do_not_teach(corpus: Path) -> None:
    """With a mask that leaves no target, weights do not move (but for decay, which is off here)."""
    tokens = np.fromfile(corpus / "tokens" / "part-00000.npy", dtype="<u2")
    (np.arange(len(tokens)) == 0).tofile(corpus / "mask.npy")  # nothing predicts the first token of a window
    masked = {"paths": [str(corpus / "tokens")], "label_mask_paths": [str(corpus / "mask.npy")], "seq_len": 32}
    recipe = pretrain_recipe(corpus, changes={"data": masked, "optim": {"peak_lr": 0.1, "weight_decay": 0.0}})
    model, tokenizer = load_model(pretrain(recipe))
    from olmo2.model.init import initialise
    from olmo2.model.transformer import Transformer

    untouched = Transformer(recipe.model.config(tokenizer.vocab_size))
    initialise(untouched, recipe.run.seed)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), untouched.parameters(), strict=True))


def test_token_outside_the_vocabulary(corpus: Path) -> None:
    np.full(4000, 60_000, dtype="<u2").tofile(corpus / "foreign.npy")
    data = {"paths": [str(corpus / "foreign.npy")], "dtype": "uint16", "seq_len": 32}
    with pytest.raises(UsageError, match=r"foreign\.npy.*60,?000"):
        pretrain(pretrain_recipe(corpus, changes={"data": data}))
