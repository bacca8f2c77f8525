"""A quantized folder holds what it says, transformers opens it, and damaged ones are refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from olmo2.base.errors import UsageError
from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import load_model, open_model, write_descriptions
from olmo2.checkpoint.quantized_folder import quantize_layers, stored_schemes, write_quantized_weights
from olmo2.model.quantized import QuantizedLinear, Scheme
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer

CHOICES = [(Scheme(8), Scheme(8)), (Scheme(4, 32), Scheme(8)), (Scheme(8), None)]


def written(folder: Path, model: Transformer, tokenizer: Tokenizer, blocks: Scheme, head: Scheme | None) -> Path:
    quantize_layers(model, blocks, head)
    with atomic_folder(folder) as partial:
        write_descriptions(partial, model.config, tokenizer, model.dtype)
        write_quantized_weights(partial, model, blocks, head)
    return folder


@torch.no_grad()
def logits(model: Transformer) -> torch.Tensor:
    return model(torch.tensor([[5, 6, 7, 8]]))


@pytest.mark.parametrize(("blocks", "head"), CHOICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_written_is_read_back(
    tmp_path: Path,
    tiny_model: Transformer,
    tokenizer: Tokenizer,
    blocks: Scheme,
    head: Scheme | None,
    dtype: torch.dtype,
) -> None:
    model = tiny_model.to(dtype)
    folder = written(tmp_path / "small", model, tokenizer, blocks, head)
    again, _ = load_model(folder)
    assert again.dtype == dtype and len(stored_schemes(folder, model.config)) == 14 + (head is not None)
    assert torch.equal(logits(again), logits(model))
    assert isinstance(again.lm_head, QuantizedLinear) is (head is not None)


@pytest.mark.parametrize(("blocks", "head"), CHOICES)
def test_transformers_opens_it(
    tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer, blocks: Scheme, head: Scheme | None
) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("compressed_tensors", reason="transformers reads the format with this library")
    folder = written(tmp_path / "small", tiny_model, tokenizer, blocks, head)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        found = theirs(torch.tensor([[5, 6, 7, 8]])).logits
    torch.testing.assert_close(found, logits(tiny_model), rtol=1e-4, atol=1e-5)


def test_training_wants_the_original(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> None:
    folder = written(tmp_path / "small", tiny_model, tokenizer, Scheme(8), None)
    with pytest.raises(UsageError, match="its weights are quantized, for generating only; use the folder it was made"):
        open_model(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("lacks", "lacks model.layers.0.mlp.up_proj.weight_scale, which the quantized model needs"),
        ("more", "holds model.extra, which the quantized model does not have"),
        ("shape", r"model.layers.0.mlp.up_proj.weight_packed is \(1, 8\) of I32, but the quantized model needs"),
        ("kind", r"model.layers.0.mlp.up_proj.weight_packed is \(64, 8\) of F32"),
    ],
)
def test_damaged_folders(
    tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer, damage: str, message: str
) -> None:
    folder = written(tmp_path / "small", tiny_model, tokenizer, Scheme(8), Scheme(8))
    tensors, name = load_file(folder / "model.safetensors"), "model.layers.0.mlp.up_proj"
    if damage == "lacks":
        del tensors[f"{name}.weight_scale"]
    elif damage == "more":
        tensors["model.extra"] = torch.zeros(1)
    elif damage == "shape":
        tensors[f"{name}.weight_packed"] = tensors[f"{name}.weight_packed"][:1].clone()
    else:
        tensors[f"{name}.weight_packed"] = tensors[f"{name}.weight_packed"].float()
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UsageError, match=message):
        load_model(folder)


def test_another_kind_of_quantization(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> None:
    folder = written(tmp_path / "small", tiny_model, tokenizer, Scheme(8), None)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"config.json: its weights are quantized in a way that cannot be read"):
        load_model(folder)
