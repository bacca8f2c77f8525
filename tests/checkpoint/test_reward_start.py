"""The start of a reward model: which weights come from where, and what transformers makes of the folder."""

import json
from pathlib import Path

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.checkpoint.folder import load_model, open_model, write_model_folder
from olmo2.checkpoint.reward_start import open_reward_start
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> Path:
    """A language model."""
    (tmp_path / "lm").mkdir()
    write_model_folder(tmp_path / "lm", tiny_model.state_dict(), tiny_model.config, tokenizer, dtype=torch.bfloat16)
    return tmp_path / "lm"


def test_the_blocks_are_those_of_the_language_model_and_the_head_is_new(folder: Path) -> None:
    before = open_model(folder)[2]
    config, _, weights = open_reward_start(folder, seed=1)
    assert config.head == "reward"
    assert list(weights) == [name for name in before if name != "lm_head.weight"] + ["score.weight"]
    assert len(weights) == len(before) and "lm_head.weight" not in weights
    for name in before:
        if name != "lm_head.weight":
            assert torch.equal(weights[name], before[name]), name
    expected = torch.randn(1, 32, generator=torch.Generator().manual_seed(1)) / 33**0.5
    torch.testing.assert_close(weights["score.weight"], expected)
    other = open_reward_start(folder, seed=2)[2]
    assert not torch.equal(weights["score.weight"], other["score.weight"])


def test_a_reward_model_keeps_its_head(folder: Path, tmp_path: Path) -> None:
    config, tokenizer, weights = open_reward_start(folder, seed=1)
    (tmp_path / "reward").mkdir()
    write_model_folder(tmp_path / "reward", weights, config, tokenizer, dtype=torch.float32)
    again, _, stored = open_reward_start(tmp_path / "reward", seed=2)
    assert again == config
    assert torch.equal(stored["score.weight"], weights["score.weight"])
    model, _ = load_model(tmp_path / "reward", head="reward")
    assert torch.equal(model.score.weight, weights["score.weight"])


def test_a_tokenizer_that_pads_with_its_end_of_text_is_refused(folder: Path) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(values | {"pad_token": values["eos_token"]}))
    open_model(folder)  # as a language model it is fine
    with pytest.raises(UsageError, match=r"lm: the tokenizer pads with its end of text, <\|endoftext\|>, so a reward"):
        open_reward_start(folder, seed=0)
