"""Checkpoints of OLMo-core: weights, moments and counts against those they were made from."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from olmo2.base.errors import RunError, UsageError
from olmo2.model.sizes import SIZES
from olmo2.release.olmo_core import core_layout, is_core, open_core, read_config
from tests.conftest import TINY
from tests.release.foreign_checkpoints import (
    ATTENTION,
    CORE_MODEL,
    EOS_ID,
    NORM,
    STEP,
    TOKENS,
    Reference,
    Trap,
    core_names,
    save_distributed,
    write_core,
)

DATASET = {"sequence_length": 128}


@pytest.fixture
def core(tmp_path: Path, reference: Reference) -> Path:
    """A step of OLMo-core."""
    return write_core(tmp_path / "step7", reference)


def nested(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return `values` with another value under a dotted key."""
    first, _, rest = key.partition(".")
    return values | {first: nested(values.get(first) or {}, rest, value) if rest else value}


def test_weights_moments_and_counts(core: Path, reference: Reference) -> None:
    assert is_core(core)
    opened = open_core(core, with_optimizer=True)
    assert opened.config == TINY
    assert (opened.dtype, opened.eos_id) == (torch.float32, EOS_ID)
    assert opened.weights.keys() == reference.weights.keys()
    for name, weight in reference.weights.items():
        assert torch.equal(opened.weights[name], weight), name
    assert opened.training is not None
    assert (opened.training.step, opened.training.tokens, opened.training.optimizer_step) == (STEP, TOKENS, 7.0)
    for moment, tensors in reference.moments.items():
        assert opened.training.moments[moment].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert torch.equal(opened.training.moments[moment][name], tensor), (moment, name)


def test_a_model_alone(core: Path, tmp_path: Path, reference: Reference) -> None:
    assert open_core(core, with_optimizer=False).training is None
    model = write_core(tmp_path / "model", reference, with_optimizer=False)
    assert open_core(model, with_optimizer=True).training is None
    for path in (model / "model_and_optim").iterdir():
        path.rename(model / path.name)
    shutil.rmtree(model / "model_and_optim")
    assert is_core(model)
    opened = open_core(model, with_optimizer=True)
    assert torch.equal(opened.weights["model.norm.weight"], reference.weights["model.norm.weight"])
    assert not is_core(tmp_path)


def test_shape_of_the_published_32b() -> None:
    norm = {"name": "rms", "eps": 1e-6, "bias": False, "dtype": "float32"}  # olmo2_32B of OLMo-core, written as JSON
    rope = {"name": "default", "theta": 500000, "full_precision": True}
    attention = {"name": "default", "n_heads": 40, "n_kv_heads": 8, "bias": False, "rope": rope, "qk_norm": norm}
    model = {
        "d_model": 5120,
        "vocab_size": 100352,
        "n_layers": 64,
        "name": "default",
        "dtype": "float32",
        "init_method": "normal",
        "init_seed": 0,
        "compile": True,
        "dp_config": {"name": "hsdp", "param_dtype": "bfloat16", "reduce_dtype": "float32"},
        "ac_config": {"mode": "full"},
        "float8_config": {"enabled": False},
        "block": {
            "name": "reordered_norm",
            "attention": attention | {"use_flash": True, "dtype": "float32"},
            "layer_norm": norm,
            "feed_forward": {"hidden_size": 27648, "bias": False, "dtype": "float32"},
        },
        "lm_head": {"name": "default", "layer_norm": norm, "bias": False, "dtype": "float32"},
    }
    assert read_config({"model": model, "dataset": {"sequence_length": 4096}}, "config.json") == SIZES["olmo2-32b"]
    later = nested(model, "block", model["block"] | {"sequence_mixer": attention | {"type": "attention"}})  # type: ignore[operator]
    del later["block"]["attention"]
    values = {"model": later, "train_module": {"max_sequence_length": 4096}}
    assert read_config(values, "config.json") == SIZES["olmo2-32b"]


def test_names_are_as_many_as_those_of_the_published_32b() -> None:
    assert len(core_layout(64)) == 3 + 64 * 11


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tie_word_embeddings", True, "tie_word_embeddings is True, but in OLMo 2 it is always False"),
        ("name", "normalized", "name is 'normalized'"),
        ("embedding_norm", NORM, "embedding_norm is {"),
        ("block_overrides", {"3": {}}, "block_overrides is {"),
        ("block.name", "default", "block.name is 'default', but in OLMo 2 it is always 'reordered_norm'"),
        ("block", {"attn": {}, "gdn": {}}, "block.name is None"),
        ("block.layer_norm.name", "default", "block.layer_norm.name is 'default'"),
        ("block.layer_norm.bias", None, "block.layer_norm.bias is None"),
        ("block.attention", None, "block.attention.bias is None"),
        ("block.attention.name", "fused", "block.attention.name is 'fused'"),
        ("block.attention.bias", True, "block.attention.bias is True"),
        ("block.attention.clip_qkv", 8.0, "block.attention.clip_qkv is 8.0"),
        ("block.attention.qk_norm", None, "block.attention.qk_norm.name is None"),
        ("block.attention.use_head_qk_norm", True, "block.attention.use_head_qk_norm is True"),
        ("block.attention.sliding_window", {"pattern": [4096]}, "block.attention.sliding_window is {"),
        ("block.attention.rope", None, "block.attention.rope.name is None"),
        ("block.attention.rope.name", "complex", "block.attention.rope.name is 'complex'"),
        ("block.attention.rope.scaling", {"factor": 8}, "block.attention.rope.scaling is {"),
        ("block.attention.attention_sinks", True, "block.attention.attention_sinks is True, an option that OLMo 2"),
        ("block.attention.novelty", {"name": "new"}, "block.attention.novelty.name is 'new', an option that OLMo 2"),
        ("block.feed_forward.bias", True, "block.feed_forward.bias is True"),
        ("block.feed_forward.activation", "gelu", "block.feed_forward.activation is 'gelu'"),
        ("block.feed_forward_moe", {"num_experts": 8}, "block.feed_forward_moe is {"),
        ("lm_head.bias", True, "lm_head.bias is True"),
        ("lm_head.layer_norm.eps", 1e-5, "norms have different eps"),
        ("d_model", None, "d_model is missing"),
        ("n_layers", None, "n_layers is missing"),
        ("vocab_size", None, "vocab_size is missing"),
        ("block.attention.n_heads", None, "block.attention.n_heads is missing"),
        ("block.attention.rope.theta", None, "block.attention.rope.theta is missing"),
        ("block.feed_forward", {"bias": False}, "block.feed_forward.hidden_size is missing"),
        ("block.attention.head_dim", 16, "head_dim is 16"),
    ],
)
def test_refuses_what_is_not_olmo2(key: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read_config({"model": nested(CORE_MODEL, key, value), "dataset": DATASET}, "step7/config.json")
    assert str(error.value).startswith("step7/config.json: ")
    assert message in str(error.value)


@pytest.mark.parametrize("values", [None, [], {}, {"model": None}, {"model": 3}, {"model": {"block": 3}}])
def test_refuses_what_is_no_config(values: Any) -> None:
    with pytest.raises(UsageError, match=r"config\.json: model"):
        read_config(values, "config.json")


def test_the_length_of_sequences_is_needed() -> None:
    with pytest.raises(UsageError, match=r"config\.json: dataset\.sequence_length is missing"):
        read_config({"model": CORE_MODEL | {"block": CORE_MODEL["block"]}}, "config.json")
    assert read_config({"model": CORE_MODEL, "dataset": DATASET}, "config.json") == TINY
    assert ATTENTION["n_kv_heads"] == 2


def test_missing_files_are_named(core: Path) -> None:
    (core / "train" / "rank0.pt").unlink()
    with pytest.raises(RunError, match=r"rank0\.pt is missing, which counts the steps"):
        open_core(core, with_optimizer=True)
    (core / "model_and_optim" / ".metadata").unlink()
    with pytest.raises(RunError, match=r"\.metadata is missing"):
        open_core(core, with_optimizer=True)
    (core / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json is not valid JSON"):
        open_core(core, with_optimizer=True)
    (core / "config.json").unlink()
    with pytest.raises(UsageError, match=r"there is no file .*config\.json"):
        open_core(core, with_optimizer=True)


def test_a_vocabulary_of_another_size(core: Path) -> None:
    config = json.loads((core / "config.json").read_text())
    config["model"]["vocab_size"] = 640
    (core / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UsageError, match=r"embeddings\.weight has shape \(512, 32\), but its config asks for \(640, 32\)"
    ):
        open_core(core, with_optimizer=True)


def test_a_moment_that_is_missing(core: Path, reference: Reference) -> None:
    state = {"model": core_names(reference.weights), "optim": {"state.embeddings.weight.exp_avg": torch.ones(512, 32)}}
    shutil.rmtree(core / "model_and_optim")
    save_distributed(state, core / "model_and_optim")
    with pytest.raises(UsageError, match=r"the optimizer's exp_avg lacks "):
        open_core(core, with_optimizer=True)
    assert open_core(core, with_optimizer=False).training is None


def test_a_hostile_trainer_state_is_refused_and_not_run(core: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    torch.save({"global_step": 7, "callbacks": Trap(victim)}, core / "train" / "rank0.pt")
    with pytest.raises(RunError, match=r"rank0\.pt asks for \S*open"):
        open_core(core, with_optimizer=True)
    assert not victim.exists()
