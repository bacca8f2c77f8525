"""The verb generate prints what transformers would generate."""

from pathlib import Path

import pytest
import torch

from olmo2 import cli
from olmo2.inference.generate import GenerateRecipe, generate
from olmo2.inference.sampling import SamplingSettings
from olmo2.tokenizer.tokenizer import Tokenizer


def expected_text(folder: Path, tokenizer: Tokenizer, text: str, num_tokens: int) -> str:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer.encode(text, allow_special=True)
    found = model.generate(torch.tensor([ids]), max_new_tokens=num_tokens, do_sample=False)[0].tolist()
    return tokenizer.decode(found[len(ids) :])


def test_text_equals_transformers(model_folder: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    generate(GenerateRecipe(model=str(model_folder), prompt=["The fox"], sampling=SamplingSettings(max_new_tokens=9)))
    assert capsys.readouterr().out == "The fox" + expected_text(model_folder, tokenizer, "The fox", 9) + "\n"


def test_chat_prompt_is_wrapped(model_folder: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = GenerateRecipe(
        model=str(model_folder), prompt=["Hi"], chat=True, sampling=SamplingSettings(max_new_tokens=9)
    )
    generate(recipe)
    prompt = "<|endoftext|><|user|>\nHi\n<|assistant|>\n"
    assert capsys.readouterr().out == expected_text(model_folder, tokenizer, prompt, 9) + "\n"


def test_missing_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["generate", "./nowhere", "--prompt=[Hi]"]) == 2
    assert "there is no model folder ./nowhere" in capsys.readouterr().err
