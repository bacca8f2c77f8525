"""The chat keeps its history, obeys its commands and survives a conversation that outgrows the context."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from olmo2.inference import chat as chat_file
from olmo2.inference.chat import ChatRecipe, chat
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

UNKNOWN_COMMAND = "There is no command /what. /new starts a new conversation, /quit ends."


def talk(
    folder: Path, lines: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: str
) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    chat(ChatRecipe(model=str(folder), sampling=SamplingSettings(max_new_tokens=6), **changes))
    return capsys.readouterr().out.splitlines()


class Scripted:
    """Stands in for decode: notes the prompts, and says the same few tokens each time."""

    def __init__(self, tokenizer: Tokenizer, answer: str) -> None:
        self.prompts: list[list[int]] = []
        self.ids = [*tokenizer.encode(answer), tokenizer.eos_id]

    def __call__(self, model: Transformer, prompts: list[list[int]], sampling: SamplingSettings) -> Iterator[Tensor]:
        self.prompts += prompts
        yield from torch.tensor(self.ids)[:, None]


def test_history_goes_into_the_next_prompt_and_new_forgets_it(
    model_folder: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Scripted(tokenizer, "Yes.")
    monkeypatch.setattr(chat_file, "decode", script)
    assert talk(model_folder, "Hi\nWhy?\n/new\nHi\n", monkeypatch, capsys, system="Be brief.")[:3] == ["Yes."] * 3
    system, hi = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}
    second = [system, hi, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}]
    expected = [encode_chat(tokenizer, talked, add_generation_prompt=True)[0] for talked in ([system, hi], second)]
    assert script.prompts == [*expected, expected[0]]


def test_characters_of_several_tokens_are_printed_whole(
    model_folder: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = "é 🙂 日本"
    assert len(tokenizer.encode(answer)) > len(answer) + 3  # this tokenizer knows only their bytes
    monkeypatch.setattr(chat_file, "decode", Scripted(tokenizer, answer))
    assert talk(model_folder, "Hi\n", monkeypatch, capsys)[0] == answer


def test_an_interrupt_ends_the_answer_and_not_the_session(
    model_folder: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> Iterator[Tensor]:
        yield torch.tensor(tokenizer.encode("x"))
        raise KeyboardInterrupt

    monkeypatch.setattr(chat_file, "decode", interrupted)
    assert talk(model_folder, "Hi\n/what\n", monkeypatch, capsys)[:2] == ["x", UNKNOWN_COMMAND]


def test_quit_and_unknown_commands(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(model_folder, "/what\n/quit\nnever read\n", monkeypatch, capsys) == [UNKNOWN_COMMAND]


def test_too_long_a_message_does_not_end_the_session(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = talk(model_folder, f"{'x ' * 300}\n/what\n", monkeypatch, capsys)
    assert "does not fit the model's context of 128" in shown[0] and shown[1].startswith("There is no command")
