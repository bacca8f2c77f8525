"""The verb generate prints what transformers would generate."""

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from olmo2 import cli
from olmo2.inference.engine import Engine
from olmo2.inference.generate import GenerateRecipe, generate
from olmo2.inference.request import Update
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


def test_texts_are_taken_as_they_are(
    model_folder: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["[INST] hi [/INST]", "[a, b]", 'x, "y"']
    more = ["--sampling.max_new_tokens=3", *(f"--prompt={text}" for text in texts)]
    assert cli.run(["generate", str(model_folder), *more]) == 0
    expected = [text + expected_text(model_folder, tokenizer, text, 3) for text in texts]
    assert capsys.readouterr().out == "\n\n".join(expected) + "\n"


def test_chat_prompt_is_wrapped(model_folder: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = GenerateRecipe(
        model=str(model_folder), prompt=["Hi"], chat=True, sampling=SamplingSettings(max_new_tokens=9)
    )
    generate(recipe)
    prompt = "<|endoftext|><|user|>\nHi\n<|assistant|>\n"
    assert capsys.readouterr().out == expected_text(model_folder, tokenizer, prompt, 9) + "\n"


def test_a_file_of_prompts(model_folder: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [{"prompt": "The fox", "id": 1}, {"messages": [{"role": "user", "content": "Hi"}]}, {"prompt": "A"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["generate", str(model_folder), f"--prompts={tmp_path}/in.jsonl", "--sampling.max_new_tokens=9"]
    one_by_one = [*arguments, f"--output={tmp_path}/out.jsonl", "--engine.max_sequences=1"]
    with patch.object(Engine, "step", stopped_after(12)):
        assert cli.run(one_by_one) == 130
    assert not (tmp_path / "out.jsonl").exists()
    assert len((tmp_path / "out.jsonl.partial").read_text().splitlines()) == 2, "one row is done"
    assert cli.run([*arguments, f"--output={tmp_path}/out.jsonl"]) == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in given} for row, given in zip(found, rows, strict=True)] == rows
    assert found[0]["completion"] == expected_text(model_folder, tokenizer, "The fox", 9)
    assert found[0]["finish_reason"] == "length" and "logprobs" not in found[0]
    assert cli.run([*arguments, f"--output={tmp_path}/more.jsonl", "--logprobs"]) == 0
    first = json.loads((tmp_path / "more.jsonl").read_text().splitlines()[0])
    assert len(first["logprobs"]) == len(first["token_ids"]) == 9


def stopped_after(num_steps: int) -> Callable[[Engine], list[Update]]:
    """Return a step that is interrupted after some steps."""
    step, steps = Engine.step, iter(range(num_steps))

    def interrupted(engine: Engine) -> list[Update]:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(engine)

    return interrupted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either texts with --prompt=... or a file with --prompts=..."),
        (["--prompt=[x]", "--prompts=a", "--output=b"], "give either texts with --prompt=... or a file"),
        (["--prompts=a"], "prompts and output belong together"),
        (["--prompts=./no.jsonl", "--output=b"], "there is no file of prompts no.jsonl"),
        (["--prompt=[x]", "--sampling.temperature=nan"], "sampling.temperature"),
        (["--prompt=[x]", "--sampling.temperatur=1"], "did you mean --sampling.temperature?"),
        (["--prompt=", "--sampling.max_new_tokens=3"], "a prompt is empty"),
    ],
)
def test_mistakes(model_folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["generate", str(model_folder), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_missing_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["generate", "./nowhere", "--prompt=[Hi]"]) == 2
    assert "there is no model folder ./nowhere" in capsys.readouterr().err
