"""Checkpoints of the old OLMo trainer: weights, moments and counts against those they were made from."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from olmo2.base.errors import RunError, UsageError
from olmo2.model.sizes import SIZES
from olmo2.release.foreign import ForeignCheckpoint
from olmo2.release.legacy_olmo import fused_layout, is_legacy, open_legacy, read_config
from tests.conftest import TINY
from tests.release.foreign_checkpoints import (
    EOS_ID,
    LEGACY_MODEL,
    STEP,
    TOKENS,
    Reference,
    Trap,
    legacy_names,
    optimizer_state,
    write_legacy,
    write_odd_safetensors,
)

PUBLISHED_1B = {  # configs/official-0425/OLMo2-1B-stage1.yaml
    "d_model": 2048, "n_heads": 16, "n_layers": 16, "mlp_ratio": 8, "weight_tying": False, "alibi": False, "rope": True,
    "rope_theta": 500000, "flash_attention": True, "attention_dropout": 0.0, "include_bias": False,
    "block_type": "sequential", "layer_norm_type": "rms", "layer_norm_with_affine": True, "layer_norm_eps": 1e-6,
    "bias_for_layer_norm": False, "attention_layer_norm": True, "attention_layer_norm_with_affine": True,
    "norm_after": True, "activation_type": "swiglu", "residual_dropout": 0.0, "embedding_dropout": 0.0,
    "max_sequence_length": 4096, "vocab_size": 100278, "embedding_size": 100352, "eos_token_id": 100257,
    "pad_token_id": 100277, "init_device": "meta", "init_fn": "normal", "init_std": 0.02, "init_cutoff_factor": 3,
}  # fmt: skip
PUBLISHED_7B = PUBLISHED_1B | {"d_model": 4096, "n_heads": 32, "n_layers": 32, "mlp_hidden_size": 22016}


@pytest.fixture
def legacy(tmp_path: Path, reference: Reference) -> Path:
    """A step of the old trainer, unsharded."""
    return write_legacy(tmp_path / "step7-unsharded", reference)


def assert_same(opened: ForeignCheckpoint, reference: Reference) -> None:
    assert opened.config == TINY
    assert opened.dtype == torch.float32
    assert opened.eos_id == EOS_ID
    assert opened.weights.keys() == reference.weights.keys()
    for name, weight in reference.weights.items():
        assert torch.equal(opened.weights[name], weight), name
    assert opened.training is not None
    assert (opened.training.step, opened.training.tokens, opened.training.optimizer_step) == (STEP, TOKENS, 7.0)
    assert opened.training.moments.keys() == reference.moments.keys()
    for moment, tensors in reference.moments.items():
        assert opened.training.moments[moment].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert torch.equal(opened.training.moments[moment][name], tensor), (moment, name)


def test_torch_files(legacy: Path, reference: Reference) -> None:
    assert is_legacy(legacy)
    assert_same(open_legacy(legacy, with_optimizer=True), reference)


def test_safetensors_win_over_torch_files(legacy: Path, reference: Reference) -> None:
    write_odd_safetensors(legacy / "model.safetensors", legacy_names(reference.weights))
    write_odd_safetensors(legacy / "optim.safetensors", optimizer_state(reference))
    (legacy / "model.pt").write_bytes(b"not looked at")
    (legacy / "optim.pt").unlink()
    assert_same(open_legacy(legacy, with_optimizer=True), reference)


def test_state_by_number_is_named_by_the_parameter_groups(legacy: Path, reference: Reference) -> None:
    """As training without FSDP stores it: two groups sorted by name, the embedding last, names of a wrapped model."""
    by_name = optimizer_state(reference)["state"]
    embedding = "transformer.wte.weight"
    decayed = sorted(name for name in by_name if name != embedding)
    number = {name: place for place, name in enumerate([*decayed, embedding])}
    groups = [
        {"lr": 1e-4, "param_names": [f"module.{name}" for name in decayed], "params": list(range(len(decayed)))},
        {"lr": 1e-4, "param_names": [f"module.{embedding}"], "params": [len(decayed)]},
    ]
    torch.save({"state": {number[name]: state for name, state in by_name.items()}, "param_groups": groups},
               legacy / "optim.pt")  # fmt: skip
    assert_same(open_legacy(legacy, with_optimizer=True), reference)
    write_odd_safetensors(
        legacy / "optim.safetensors",
        {"state": {number[name]: state for name, state in by_name.items()}, "param_groups": groups},
    )
    (legacy / "optim.pt").unlink()
    assert_same(open_legacy(legacy, with_optimizer=True), reference)


def test_names_of_wrapped_modules(legacy: Path, reference: Reference) -> None:
    def wrapped(name: str) -> str:
        return name.replace("transformer.", "_fsdp_wrapped_module.transformer.").replace(
            "blocks.0.", "blocks.0._fsdp_wrapped_module."
        )

    state = optimizer_state(reference)
    torch.save({wrapped(name): tensor for name, tensor in legacy_names(reference.weights).items()}, legacy / "model.pt")
    torch.save(state | {"state": {wrapped(name): part for name, part in state["state"].items()}}, legacy / "optim.pt")
    assert_same(open_legacy(legacy, with_optimizer=True), reference)


def test_without_optimizer_state(legacy: Path, reference: Reference) -> None:
    assert open_legacy(legacy, with_optimizer=False).training is None
    torch.save({"state": {}, "param_groups": []}, legacy / "optim.pt")  # before the first step
    assert open_legacy(legacy, with_optimizer=True).training is None
    (legacy / "optim.pt").unlink()
    (legacy / "train.pt").unlink()
    assert open_legacy(legacy, with_optimizer=True).training is None


def test_shapes_of_published_models() -> None:
    for size, model in (("olmo2-1b", PUBLISHED_1B), ("olmo2-7b", PUBLISHED_7B)):
        assert read_config({"model": model}, "config.yaml") == SIZES[size]
    thirteen = PUBLISHED_1B | {"d_model": 5120, "n_heads": 40, "n_layers": 40, "mlp_hidden_size": 27648}
    assert read_config({"model": thirteen}, "config.yaml") == SIZES["olmo2-13b"]
    unpadded = PUBLISHED_1B | {"embedding_size": None, "n_kv_heads": 4}
    assert read_config({"model": unpadded}, "config.yaml").vocab_size == 100278
    assert read_config({"model": unpadded}, "config.yaml").num_key_value_heads == 4


def test_fused_sizes_are_those_of_the_published_1b() -> None:
    layout = fused_layout(16)
    assert len(layout) == 3 + 16 * 8
    assert sum(map(len, layout.values())) == 3 + 16 * 11  # as many as transformers' model has


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_tying": True}, r"model\.weight_tying is True, but in OLMo 2 it is always False"),
        ({"include_bias": True}, r"model\.include_bias is True"),
        ({"bias_for_layer_norm": True}, r"model\.bias_for_layer_norm is True"),
        ({"norm_after": False}, r"model\.norm_after is False"),
        ({"norm_after": None}, r"model\.norm_after is None"),
        ({"layer_norm_type": "default"}, r"model\.layer_norm_type is 'default', but in OLMo 2 it is always 'rms'"),
        ({"attention_layer_norm": False}, r"model\.attention_layer_norm is False"),
        ({"clip_qkv": 8.0}, r"model\.clip_qkv is 8\.0"),
        ({"alibi": True}, r"model\.alibi is True"),
        ({"rope": False}, r"model\.rope is False"),
        ({"activation_type": "gelu"}, r"model\.activation_type is 'gelu'"),
        ({"block_type": "llama"}, r"model\.block_type is 'llama'"),
        ({"block_group_size": 4}, r"model\.block_group_size is 4"),
        ({"embedding_layer_norm": True}, r"model\.embedding_layer_norm is True"),
        ({"scale_logits": True}, r"model\.scale_logits is True"),
        ({"multi_query_attention": True}, r"model\.multi_query_attention is True"),
        ({"residual_dropout": 0.1}, r"model\.residual_dropout is 0\.1"),
        ({"d_model": None}, r"model\.d_model is missing"),
        ({"n_layers": None}, r"model\.n_layers is missing"),
        ({"rope_theta": None}, r"model\.rope_theta is missing"),
        ({"layer_norm_eps": None}, r"model\.layer_norm_eps is missing"),
        ({"max_sequence_length": None}, r"model\.max_sequence_length is missing"),
        ({"embedding_size": None, "vocab_size": None}, r"model\.vocab_size is missing"),
        ({"mlp_hidden_size": None, "mlp_ratio": None}, r"model\.mlp_ratio is missing"),
        ({"mlp_hidden_size": 127}, r"model\.mlp_hidden_size 127 must be even"),
        ({"d_model": "32"}, r"model\.d_model must be a whole number, not '32'"),
        ({"n_layers": 2.5}, "num_hidden_layers must be a number of type int"),
    ],
)
def test_refuses_what_is_not_olmo2(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        read_config({"model": LEGACY_MODEL | change}, "step7/config.yaml")
    assert str(error.value).startswith("step7/config.yaml: ")


@pytest.mark.parametrize("values", [{}, {"model": None}])
def test_refuses_what_is_no_config(values: Any) -> None:
    with pytest.raises(UsageError, match=r"config\.yaml: model is missing"):
        read_config(values, "config.yaml")


@pytest.mark.parametrize(
    "inside", ["model_and_optim/.metadata", "model/rank0.pt", "rank0.pt", "step7-unsharded/model.pt"]
)
def test_sharded_layouts_are_recognised_and_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).parent.mkdir(exist_ok=True)
    (tmp_path / inside).touch()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": LEGACY_MODEL}))
    assert is_legacy(tmp_path)
    with pytest.raises(UsageError, match="sharded checkpoints of the old OLMo trainer cannot be read; choose a folder"):
        open_legacy(tmp_path, with_optimizer=True)


@pytest.mark.parametrize("file", ["model.pt", "optim.pt", "train.pt"])
def test_hostile_files_are_refused_and_not_run(legacy: Path, tmp_path: Path, file: str) -> None:
    victim = tmp_path / "victim"
    torch.save({"state": Trap(victim), "global_step": Trap(victim)}, legacy / file)
    with pytest.raises(RunError, match=rf"{file} asks for \S*open"):
        open_legacy(legacy, with_optimizer=True)
    assert not victim.exists()


def test_hostile_safetensors_are_refused_and_not_run(legacy: Path, tmp_path: Path, reference: Reference) -> None:
    victim = tmp_path / "victim"
    write_odd_safetensors(legacy / "optim.safetensors", optimizer_state(reference) | {"param_groups": Trap(victim)})
    with pytest.raises(RunError, match=r"optim\.safetensors asks for \S*open"):
        open_legacy(legacy, with_optimizer=True)
    write_odd_safetensors(legacy / "model.safetensors", {Trap(victim): torch.ones(1)})  # type: ignore[dict-item]
    with pytest.raises(RunError, match=r"model\.safetensors asks for \S*open"):
        open_legacy(legacy, with_optimizer=True)
    assert not victim.exists()


@pytest.mark.parametrize("file", ["model.pt", "optim.pt", "train.pt"])
def test_files_that_are_cut_short(legacy: Path, file: str) -> None:
    data = (legacy / file).read_bytes()
    (legacy / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(RunError, match=rf"{file} is damaged or cut short"):
        open_legacy(legacy, with_optimizer=True)


def test_safetensors_that_are_no_state(legacy: Path, reference: Reference) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, legacy / "model.safetensors")
    with pytest.raises(RunError, match=r"model\.safetensors"):
        open_legacy(legacy, with_optimizer=True)
    save_file(legacy_names(reference.weights), legacy / "model.safetensors")  # by plain names, as one writes by hand
    assert_same(open_legacy(legacy, with_optimizer=True), reference)


def test_an_optimizer_that_does_not_fit(legacy: Path, reference: Reference) -> None:
    whole = optimizer_state(reference)
    for part in whole["state"].values():
        del part["exp_avg_sq"]  # as Lion has it
    torch.save(whole, legacy / "optim.pt")
    with pytest.raises(UsageError, match="the optimizer's exp_avg_sq lacks transformer"):
        open_legacy(legacy, with_optimizer=True)
    torch.save({"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"params": [0]}]}, legacy / "optim.pt")
    with pytest.raises(RunError, match="param_groups do not name its parameters"):
        open_legacy(legacy, with_optimizer=True)
    torch.save(optimizer_state(reference), legacy / "optim.pt")
    (legacy / "train.pt").unlink()
    with pytest.raises(RunError, match=r"train\.pt is missing, which counts the steps; .* --optimizer=false"):
        open_legacy(legacy, with_optimizer=True)
