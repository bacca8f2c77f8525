"""The chat keeps its history, obeys its commands and survives a conversation that outgrows the context."""

import io
from pathlib import Path

import pytest

from olmo2.inference.chat import ChatRecipe, chat
from olmo2.inference.sampling import SamplingSettings


def talk(
    folder: Path, lines: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: str
) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    chat(ChatRecipe(model=str(folder), sampling=SamplingSettings(max_new_tokens=6), **changes))
    return capsys.readouterr().out.splitlines()


def test_history_changes_the_answer_and_new_forgets_it(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = talk(model_folder, "Hi\n/new\nHi\n", monkeypatch, capsys)
    half = len(again) // 2
    assert again[:half] == again[half : 2 * half] and any(again)


def test_quit_and_unknown_commands(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(model_folder, "/what\n/quit\nnever read\n", monkeypatch, capsys) == [
        "There is no command /what. /new starts a new conversation, /quit ends."
    ]


def test_too_long_a_message_does_not_end_the_session(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = talk(model_folder, f"{'x ' * 300}\n/what\n", monkeypatch, capsys)
    assert "does not fit the model's context of 128" in shown[0] and shown[1].startswith("There is no command")
