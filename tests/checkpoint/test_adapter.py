"""Adapters on disk: PEFT opens ours, we open PEFT's, and what is not plain LoRA is refused by its name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from olmo2.base.errors import RunError, UsageError
from olmo2.checkpoint.adapter import base_fingerprint, find_adapter_folder, open_adapter, stored_adapter
from olmo2.checkpoint.folder import find_model_folder, load_model, open_model
from olmo2.checkpoint.load import load_trainer_state
from olmo2.model.init import initialise
from olmo2.model.lora import LoraSettings, trained_parameters
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import load_tokenizer
from tests.checkpoint.conftest import random_adapters
from tests.conftest import TINY

INPUT_IDS = torch.randint(380, (2, 12), generator=torch.Generator().manual_seed(0))
NAME = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"


def change_config(folder: Path, **changes: Any) -> None:
    """Change what an adapter says of itself."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def loose(adapter_folder: Path, tmp_path: Path) -> Path:
    """The files that PEFT knows of an adapter, in a folder that is no checkpoint."""
    folder = tmp_path / "loose"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_bytes((adapter_folder / name).read_bytes())
    return folder


def test_peft_opens_what_is_saved(adapter_folder: Path, adapted: Transformer) -> None:
    peft = pytest.importorskip("peft")
    theirs = peft.AutoPeftModelForCausalLM.from_pretrained(adapter_folder)  # finds the model by itself
    with torch.no_grad():
        torch.testing.assert_close(theirs(INPUT_IDS).logits, adapted(INPUT_IDS), rtol=1e-4, atol=1e-5)
    layer = theirs.base_model.model.model.layers[0].mlp.up_proj
    assert (layer.r["default"], layer.scaling["default"]) == (4, 1.5)
    assert load_tokenizer(adapter_folder).vocab_size == 380


def test_nothing_but_the_adapter_is_saved(adapter_folder: Path, adapted: Transformer) -> None:
    stored = load_file(adapter_folder / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in stored.values()) == sum(
        4 * sum(weight.shape)
        for name, weight in Transformer(TINY).named_parameters()
        if weight.dim() == 2 and "layers" in name
    )
    assert not list(adapter_folder.glob("model*"))
    assert not (adapter_folder / "config.json").exists()
    back = dict(stored_adapter(adapter_folder, adapted))
    assert all(torch.equal(back[name], weight) for name, weight in trained_parameters(adapted).items())
    assert len(back) == len(trained_parameters(adapted))
    assert load_trainer_state(adapter_folder)[1].step == 3


def test_an_adapter_of_peft(hf_folder: Path, tmp_path: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(hf_folder)
    config = peft.LoraConfig(
        r=3, lora_alpha=12, use_rslora=True, target_modules="all-linear", lora_dropout=0.1, task_type="CAUSAL_LM"
    )
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "theirs")
    adapter = open_adapter(tmp_path / "theirs")
    assert adapter.base == str(hf_folder)
    assert adapter.scale == pytest.approx(12 / 3**0.5)
    assert len(adapter.targets) == 14
    names = adapter.targets["model.layers.1.self_attn.k_proj.weight"]
    assert [adapter.tensors.shape(name) for name in names] == [(3, 32), (16, 3)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "use_dora is True; only plain LoRA"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \['lm_head'\]"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern is"),
        ({"target_modules": ["q_proj", "lm_head"]}, r"base_model\.model\.lm_head\.\S+ is no part of an adapter"),
        ({"target_modules": ["embed_tokens"]}, r"embed_tokens\S+ is no part of an adapter"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
    ],
)
def test_other_adapters_of_peft_are_refused(
    hf_folder: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(hf_folder)
    config = peft.LoraConfig(**{"r": 4, "target_modules": ["q_proj"], **settings})
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "theirs")
    with pytest.raises(UsageError, match=message):
        open_adapter(tmp_path / "theirs")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; only 'LORA' can be merged"),
        ({"r": 0}, "r must be a number above 0, not 0"),
        ({"r": "four"}, "r must be a number above 0, not 'four'"),
        ({"r": 8}, r"has shape \(.*4.*\), which does not fit r 8"),
        ({"lora_alpha": None}, "lora_alpha must be a number above 0, not None"),
        ({"a_new_kind": {"x": 1}}, r"a_new_kind is \{'x': 1\}; only plain LoRA"),
    ],
)
def test_damaged_or_unknown_descriptions(loose: Path, changes: dict[str, Any], message: str) -> None:
    change_config(loose, **changes)
    with pytest.raises(UsageError, match=message):
        open_adapter(loose)


def test_damaged_files(loose: Path) -> None:
    file = loose / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor for name, tensor in tensors.items() if name != NAME}, file)
    with pytest.raises(UsageError, match=r"incomplete: of the adapter to model\.layers\.0\.mlp\.up_proj\.weight it"):
        open_adapter(loose)
    save_file(tensors | {NAME: tensors[NAME].int()}, file)
    with pytest.raises(UsageError, match="is stored as I32"):
        open_adapter(loose)
    save_file({}, file)
    with pytest.raises(UsageError, match="holds no tensors"):
        open_adapter(loose)
    file.write_bytes(file.read_bytes()[:4])
    with pytest.raises(RunError, match="cut short"):
        open_adapter(loose)
    file.unlink()
    with pytest.raises(RunError, match="is missing"):
        open_adapter(loose)
    (loose / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(UsageError, match="a pickle file, which is never read"):
        open_adapter(loose)


def test_where_an_adapter_is_found(adapter_folder: Path, hf_folder: Path, loose: Path, tmp_path: Path) -> None:
    run = adapter_folder.parent
    for name in (adapter_folder, run, f"{run}@{adapter_folder.name}"):
        assert find_adapter_folder(str(name)) == adapter_folder
    assert find_adapter_folder(str(loose)) == loose
    for name, message in (
        (hf_folder, "is a whole model: nothing is to be merged"),
        (tmp_path, "is no adapter"),
        (tmp_path / "absent", "there is no folder"),
    ):
        with pytest.raises(UsageError, match=message):
            find_adapter_folder(str(name))
    (adapter_folder / "tokenizer.json").unlink()
    with pytest.raises(RunError, match=r"is torn \(tokenizer\.json is missing\)"):
        find_adapter_folder(str(adapter_folder))


def test_an_adapter_is_not_taken_for_a_model(adapter_folder: Path) -> None:
    for read in (find_model_folder, load_model, open_model):
        with pytest.raises(UsageError, match=f"is an adapter, not a whole model; .* olmo2 merge {adapter_folder}"):
            read(adapter_folder)
    with pytest.raises(UsageError, match="olmo2 merge"):
        find_model_folder(adapter_folder.parent)


def test_an_adapter_of_another_shape(adapter_folder: Path, tiny_model: Transformer) -> None:
    for lora in (LoraSettings(rank=2), LoraSettings(rank=4, targets=["q_proj"])):
        with pytest.raises(
            UsageError, match=r"was trained on a model of another shape .* has shape \(.*\) there, .* here"
        ):
            dict(stored_adapter(adapter_folder, random_adapters(tiny_model, lora)))


def test_the_fingerprint_is_of_the_models_own_weights(tiny_model: Transformer, adapted: Transformer) -> None:
    expected = base_fingerprint(tiny_model.state_dict())
    assert base_fingerprint(adapted.state_dict()) == expected
    assert base_fingerprint({name: weight.bfloat16() for name, weight in tiny_model.state_dict().items()}) == expected
    initialise(tiny_model, 1)
    assert base_fingerprint(tiny_model.state_dict()) != expected
