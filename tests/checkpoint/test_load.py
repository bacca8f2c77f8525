"""Loading: bit for bit what was saved, or one sentence about what is wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from olmo2.base.errors import RunError, UsageError
from olmo2.checkpoint.load import empty_model, load_trainer_state, load_weights, require_complete
from olmo2.model.transformer import Transformer
from tests.checkpoint.conftest import run_state

Save = Callable[..., Path]


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Rewrite the weights of a folder, which is no checkpoint any more, with a change."""
    (folder / "checkpoint.json").unlink()
    (folder / "trainer" / "state.json").unlink()
    (folder / "trainer" / "optimizer.safetensors").unlink()
    (folder / "trainer").rmdir()
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def test_weights_come_back_bit_for_bit(save: Save, tiny_model: Transformer) -> None:
    folder = save(1)
    model = empty_model(tiny_model.config, torch.float32, "cpu")
    load_weights(folder, model)
    for name, weight in tiny_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_weights_take_the_models_dtype_and_stay_in_place(save: Save, tiny_model: Transformer) -> None:
    folder = save(1)
    model = empty_model(tiny_model.config, torch.bfloat16, "cpu")
    places = [parameter.data_ptr() for parameter in model.parameters()]
    load_weights(folder, model)
    assert [parameter.data_ptr() for parameter in model.parameters()] == places
    for name, weight in tiny_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight.bfloat16()), name


def test_another_shape_is_named(save: Save, tiny_model: Transformer) -> None:
    folder = save(1)
    wider = empty_model(replace(tiny_model.config, intermediate_size=96), torch.float32, "cpu")
    with pytest.raises(UsageError) as error:
        load_weights(folder, wider)
    for part in (str(folder), ".mlp.", "(32, 64)", "(32, 96)", "intermediate_size 64 against 96"):
        assert part in str(error.value)


def test_another_number_of_layers_is_named(save: Save, tiny_model: Transformer) -> None:
    folder = save(1)
    for layers, message in (
        (3, r"lacks model.layers.2.* and 8 more tensors"),
        (1, r"holds model.layers.1.*more tensors"),
    ):
        model = empty_model(replace(tiny_model.config, num_hidden_layers=layers), torch.float32, "cpu")
        with pytest.raises(UsageError, match=message):
            load_weights(folder, model)


def test_missing_unknown_and_unfitting_tensors(save: Save, tiny_model: Transformer) -> None:
    def rename(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.bias"] = weights.pop("model.norm.weight")

    folder = save(1)
    change_weights(folder, rename)
    with pytest.raises(UsageError, match=r"lacks model.norm.weight, which the model needs"):
        load_weights(folder, tiny_model)

    folder = save(2)
    change_weights(folder, lambda weights: weights.update(extra=torch.zeros(1)))
    with pytest.raises(UsageError, match="holds extra, which the model does not have"):
        load_weights(folder, tiny_model)

    folder = save(3)
    change_weights(folder, lambda weights: weights.update({"model.norm.weight": torch.zeros(33)}))
    with pytest.raises(UsageError, match=r"model.norm.weight has shape \(33,\).*config.json does not fit its weights"):
        load_weights(folder, tiny_model)


def test_trainer_state_comes_back(save: Save) -> None:
    tensors, state = load_trainer_state(save(3, ephemeral=True))
    assert tensors.keys() == {"model.norm.weight.exp_avg", "model.norm.weight.step"}
    assert torch.equal(tensors["model.norm.weight.exp_avg"], torch.arange(32.0))
    assert tensors["model.norm.weight.step"].item() == 3.0
    assert state == run_state(3, ephemeral=True)


def test_a_model_without_trainer_state_cannot_be_resumed(hf_folder: Path) -> None:
    with pytest.raises(UsageError, match="holds a model without trainer state"):
        load_trainer_state(hf_folder)


def test_a_torn_checkpoint_is_refused_everywhere_and_another_one_offered(save: Save, tiny_model: Transformer) -> None:
    first, second = save(1), save(2)
    path = second / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    for read in (require_complete, load_trainer_state, lambda folder: load_weights(folder, tiny_model)):
        with pytest.raises(RunError) as error:
            read(second)
        assert f"{second} is torn (model.safetensors has" in str(error.value)
        assert f"use {first}" in str(error.value)


def test_a_lonely_torn_checkpoint_says_that_there_is_no_other(save: Save) -> None:
    folder = save(1)
    (folder / "checkpoint.json").unlink()
    with pytest.raises(RunError, match=r"torn \(checkpoint.json is missing\); no complete one is beside it"):
        require_complete(folder)


@pytest.mark.parametrize("name", ["config.json", "trainer/state.json"])
def test_a_missing_file_is_named(save: Save, tiny_model: Transformer, name: str) -> None:
    folder = save(1)
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing"):
        load_weights(folder, tiny_model)


def test_what_is_no_checkpoint(save: Save, tmp_path: Path, tiny_model: Transformer) -> None:
    for read in (require_complete, load_trainer_state, lambda folder: load_weights(folder, tiny_model)):
        with pytest.raises(UsageError, match="there is no"):
            read(tmp_path / "absent")
    with pytest.raises(UsageError, match=r"is not a model folder: it holds no config.json"):
        load_weights(tmp_path, tiny_model)
    newest = save(1)
    with pytest.raises(UsageError, match=f"is a run, not a model folder; choose .* such as {newest}"):
        load_weights(newest.parent, tiny_model)


def test_damaged_state_is_named(save: Save) -> None:
    folder = save(1)
    state = folder / "trainer" / "state.json"
    state.write_text("{".ljust(state.stat().st_size))  # as long as before, so that only its content is wrong
    with pytest.raises(UsageError, match=r"state\.json is not valid JSON"):
        load_trainer_state(folder)


def test_nothing_but_json_and_safetensors_is_saved(save: Save) -> None:
    folder = save(1)
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".jinja", ".yaml"}
    assert json.loads((folder / "config.json").read_text())["model_type"] == "olmo2"
