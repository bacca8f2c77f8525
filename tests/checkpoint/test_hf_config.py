"""config.json: what transformers reads from ours, and what we read from theirs and from damaged ones."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.checkpoint.hf_config import config_from_hf, config_to_hf, generation_config
from olmo2.model.sizes import SIZES, ModelConfig
from olmo2.tokenizer.tokenizer import Tokenizer

CONFIG = replace(SIZES["olmo2-32b"], rope_theta=123_456.0, rms_norm_eps=3e-5, initializer_range=0.03)

RELEASED_7B = {  # the published allenai/OLMo-2-1124-7B, written by transformers 4.47
    "architectures": ["Olmo2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "eos_token_id": 100257,
    "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 11008,
    "max_position_embeddings": 4096, "model_type": "olmo2", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 32, "pad_token_id": 100277, "rms_norm_eps": 1e-06, "rope_scaling": None,
    "rope_theta": 500000, "tie_word_embeddings": False, "torch_dtype": "float32", "transformers_version": "4.47.0.dev0",
    "use_cache": True, "vocab_size": 100352,
}  # fmt: skip


def test_transformers_reads_every_value(
    tokenizer: Tokenizer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps(config_to_hf(CONFIG, tokenizer, torch.bfloat16)))
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    assert type(theirs) is transformers.Olmo2Config
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                 "vocab_size", "max_position_embeddings", "rms_norm_eps", "initializer_range"):  # fmt: skip
        assert getattr(theirs, name) == getattr(CONFIG, name), name
    assert theirs.rope_parameters == {"rope_theta": 123_456.0, "rope_type": "default"}
    assert theirs.dtype == torch.bfloat16
    assert theirs.tie_word_embeddings is False
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.eos_id, tokenizer.pad_id)
    assert theirs.bos_token_id is None
    assert capfd.readouterr().err == "", "no warning about names that are no longer used"


def test_transformers_4_finds_its_names(tokenizer: Tokenizer) -> None:
    values = config_to_hf(CONFIG, tokenizer, torch.float16)
    assert values["rope_theta"] == 123_456.0  # without it, transformers 4 takes 10,000
    assert values.get("rope_scaling") is None
    assert values["torch_dtype"] == "float16"
    assert values["architectures"] == ["Olmo2ForCausalLM"]
    assert values["model_type"] == "olmo2"


def test_a_reward_model_is_a_classifier_of_one_label(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = replace(CONFIG, head="reward")
    values = config_to_hf(config, tokenizer, torch.bfloat16)
    assert "head" not in values
    (tmp_path / "config.json").write_text(json.dumps(values))
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    assert theirs.architectures == ["Olmo2ForSequenceClassification"]
    assert (theirs.num_labels, theirs.id2label, theirs.pad_token_id) == (1, {0: "reward"}, tokenizer.pad_id)
    assert config_from_hf(json.loads(json.dumps(values)), "config.json") == config
    theirs.save_pretrained(tmp_path)
    assert config_from_hf(json.loads((tmp_path / "config.json").read_text()), "config.json") == config


@pytest.mark.parametrize(("labels", "number"), [({}, 2), ({"id2label": {"0": "a", "1": "b", "2": "c"}}, 3)])
def test_a_classifier_of_several_labels_is_no_reward_model(labels: dict[str, Any], number: int) -> None:
    values = RELEASED_7B | {"architectures": ["Olmo2ForSequenceClassification"]} | labels
    with pytest.raises(UsageError, match=rf"^config.json: the model tells {number} labels apart; a reward"):
        config_from_hf(values, "config.json")


def test_generation_stops_at_the_end_of_text(tokenizer: Tokenizer) -> None:
    values = generation_config(tokenizer)
    assert (values["eos_token_id"], values["pad_token_id"]) == (tokenizer.eos_id, tokenizer.pad_id)
    tokenizer = copy.copy(tokenizer)
    tokenizer.end_ids = (5, tokenizer.eos_id)
    assert generation_config(tokenizer)["eos_token_id"] == [5, tokenizer.eos_id]


def test_reads_the_published_config_of_transformers_4() -> None:
    assert config_from_hf(RELEASED_7B, "config.json") == SIZES["olmo2-7b"]


def test_reads_what_transformers_5_writes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = config_to_hf(CONFIG, tokenizer, torch.float32)
    transformers.Olmo2Config(**ours).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert "rope_theta" not in values  # only rope_parameters
    assert config_from_hf(values, "config.json") == CONFIG


@pytest.mark.parametrize("size", sorted(SIZES))
def test_every_size_survives_the_way_there_and_back(size: str, tokenizer: Tokenizer) -> None:
    text = json.dumps(config_to_hf(SIZES[size], tokenizer, torch.float32))
    assert config_from_hf(json.loads(text), "config.json") == SIZES[size]


def test_ignores_foreign_code_and_other_keys() -> None:
    values = RELEASED_7B | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}, "anything": 3}
    assert config_from_hf(values, "config.json") == SIZES["olmo2-7b"]


def test_one_key_value_head_per_head_is_the_default() -> None:
    values = {name: value for name, value in RELEASED_7B.items() if name != "num_key_value_heads"}
    assert config_from_hf(values, "config.json").num_key_value_heads == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"model_type": None}, "model_type is None"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"rope_theta": None}, "rope_theta is missing"),
        ({"hidden_size": "4096"}, "hidden_size must be a number of type int, not '4096'"),
        ({"hidden_size": 4096.5}, "hidden_size must be a number of type int"),
        ({"num_hidden_layers": True}, "num_hidden_layers must be a number"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps must be a number of type float"),
        ({"max_position_embeddings": -1}, "max_position_embeddings must be at least 1, not -1"),
        ({"num_key_value_heads": 5}, "must be a multiple of num_key_value_heads 5"),
        ({"head_dim": 64}, "head_dim is 64"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 8}}, "RoPE of type 'yarn'"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "rope_theta is 500000, but rope_parameters"),
        (
            {"rope_parameters": {"rope_theta": 5e5}, "rope_scaling": {"type": "yarn", "factor": 8}},
            "RoPE of type 'yarn'",
        ),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000; more than 1024 is damage"),
        ({"rope_parameters": [1]}, "rope_parameters must be an object"),
        ({"rope_theta": []}, r"rope_theta must be a number of type float, not \[\]"),
        ({"rope_theta": [], "rope_parameters": {"rope_theta": 1e4}}, r"rope_theta is \[\], but rope_parameters has"),
        ({"hidden_size": 10**30}, "hidden_size must be a number of type int, not 1000000"),
        ({"architectures": 3, "hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"rope_theta": 10**400}, "rope_theta must be a number of type float"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps must be a number of type float, not nan"),
    ],
)
def test_refuses_what_is_not_olmo2(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        config_from_hf(RELEASED_7B | change, "folder/config.json")
    assert str(error.value).startswith("folder/config.json: ")


@pytest.mark.parametrize("values", [None, [], "olmo2", {}])
def test_refuses_what_is_no_config(values: object) -> None:
    with pytest.raises(UsageError, match="only 'olmo2' models can be read"):
        config_from_hf(values, "config.json")


def test_a_plain_config_needs_nothing_else() -> None:
    keys = [key for key in ModelConfig.__dataclass_fields__ if key != "head"]
    values = {"model_type": "olmo2"} | {key: RELEASED_7B[key] for key in keys}
    assert config_from_hf(values, "config.json") == SIZES["olmo2-7b"]
