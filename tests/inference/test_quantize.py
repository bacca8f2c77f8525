"""The verb: a smaller folder, and what it says of quality is what transformers measures."""

import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from olmo2.base.errors import RunError, UsageError
from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import load_model, write_model_folder
from olmo2.cli import run
from olmo2.inference.quantize import QuantizeRecipe, quantize
from olmo2.model.init import initialise
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer

TEXT = "The quick brown fox jumps over the lazy dog. What is 12 + 30? The answer is 42.\n" * 8


@pytest.fixture
def source(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    config = ModelConfig(
        vocab_size=384, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    model = Transformer(config)
    initialise(model, 0)
    with atomic_folder(tmp_path / "model") as partial:
        write_model_folder(partial, model.state_dict(), config, tokenizer, dtype=torch.float32)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "model"


def recipe(source: Path, **settings: object) -> QuantizeRecipe:
    values = {"model": str(source), "output": str(source.parent / "small"), "text": [str(source.parent / "text.txt")]}
    return QuantizeRecipe.model_validate(values | settings)


@pytest.mark.parametrize(("bits", "share"), [(8, 0.4), (4, 0.3)])
def test_a_folder_and_its_cost(
    source: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str], bits: int, share: float
) -> None:
    transformers = pytest.importorskip("transformers")
    quantize(recipe(source, bits=bits, device="cpu"))
    printed = capsys.readouterr().out
    found = re.search(r"perplexity on ([\d,]+) tokens: ([\d.]+) before, ([\d.]+) after", printed)
    assert found, printed
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (source, source.parent / "small")]
    assert sizes[1] < share * sizes[0]

    ids = [*tokenizer.encode(TEXT), tokenizer.eos_id]
    windows = [ids[start : start + 64] for start in range(0, len(ids), 64)]
    assert int(found[1]) == sum(len(window) - 1 for window in windows)
    for folder, said in ((source, found[2]), (source.parent / "small", found[3])):
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        losses = []
        for window in windows:
            with torch.no_grad():
                scores = theirs(torch.tensor([window])).logits[0, :-1].log_softmax(-1)
            losses.append(-scores.gather(1, torch.tensor(window[1:])[:, None])[:, 0])
        assert math.exp(torch.cat(losses).mean()) == pytest.approx(float(said), rel=2e-4)


def test_from_the_command_line(source: Path) -> None:
    small = source.parent / "small"
    text = f"--text={source.parent / 'text.txt'}"
    assert run(["quantize", str(source), str(small), text, "--bits=4", "--device=cpu"]) == 0
    assert (small / "model.safetensors").stat().st_size < 0.3 * (source / "model.safetensors").stat().st_size


def test_damaged_weights_are_not_quantized(source: Path) -> None:
    weights = load_file(source / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][3, 4] = torch.nan
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match="logits are not finite: its weights are damaged"):
        quantize(recipe(source, device="cpu"))
    assert not (source.parent / "small").exists()


def test_the_head_can_stay(source: Path) -> None:
    quantize(recipe(source, head="stored"))
    model, _ = load_model(source.parent / "small")
    assert model.lm_head.weight.dtype == torch.float32 and not list(model.lm_head.buffers())


def test_what_is_refused(source: Path) -> None:
    quantize(recipe(source))
    with pytest.raises(UsageError, match="is quantized already; start from the folder from which it was made"):
        quantize(recipe(source.parent / "small", output=str(source.parent / "smaller")))
    with pytest.raises(UsageError, match="output"):
        quantize(recipe(source))
    with pytest.raises(UsageError, match="choose a group size that divides them"):
        quantize(recipe(source, output=str(source.parent / "other"), group_size=48))
    assert not (source.parent / "other").exists()
    (source.parent / "text.txt").write_text("")
    with pytest.raises(UsageError, match="holds too little text to measure on"):
        quantize(recipe(source, output=str(source.parent / "other")))
