"""The chat keeps its history, obeys its commands and survives a conversation that outgrows the context."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from olmo2.inference import engine as engine_file
from olmo2.inference.chat import ChatRecipe, chat
from olmo2.inference.engine import Engine
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

UNKNOWN_COMMAND = "There is no command /what. /help lists the commands."
Talk = Callable[..., list[str]]


@pytest.fixture
def talk(model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    """A function that types some lines and returns those that are printed."""

    def type_lines(lines: str, **changes: str) -> list[str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        chat(ChatRecipe(model=str(model_folder), sampling=SamplingSettings(max_new_tokens=200), **changes))
        return capsys.readouterr().out.splitlines()

    return type_lines


class Scripted:
    """Lets the engine say the same each time, and notes what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer, answer: str) -> None:
        self.requests: list[Request] = []
        said = [*tokenizer.encode(answer), tokenizer.eos_id]
        submit = Engine.submit

        def noted(engine: Engine, request: Request) -> int:
            self.requests.append(request)
            return submit(engine, request)

        def choose(logits: object, settings: object, histories: list[list[int]], streams: object) -> list[int]:
            (history,) = histories
            return [said[len(history) - len(self.requests[-1].prompt)]]

        monkeypatch.setattr(Engine, "submit", noted)
        monkeypatch.setattr(engine_file, "choose_tokens", choose)

    @property
    def prompts(self) -> list[list[int]]:
        return [request.prompt for request in self.requests]


def test_history_goes_into_the_next_prompt_and_new_forgets_it(
    talk: Talk, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Scripted(monkeypatch, tokenizer, "Yes.")
    assert talk("Hi\nWhy?\n/new\nHi\n", system="Be brief.")[:3] == ["Yes."] * 3
    system, hi = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}
    second = [system, hi, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}]
    expected = [encode_chat(tokenizer, talked, add_generation_prompt=True)[0] for talked in ([system, hi], second)]
    assert script.prompts == [*expected, expected[0]]


def test_commands(talk: Talk, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = Scripted(monkeypatch, tokenizer, "Yes.")
    lines = [
        "Hi",
        "Why?",
        "/undo",
        "/retry",
        "/set top_k=3",
        "/set",
        f"/save {tmp_path / 'a.jsonl'}",
        "/system Be kind.",
        "Hi",
    ]
    shown = talk("\n".join(lines))
    assert shown[:3] == ["Yes."] * 3
    assert "temperature=0.0 top_k=3 top_p=1.0" in shown[3] and "seed=1" in shown[3]
    assert script.prompts[2] == script.prompts[0] and [each.sampling.seed for each in script.requests] == [0, 0, 1, 1]
    saved = json.loads((tmp_path / "a.jsonl").read_text())
    assert saved == {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]}
    kind = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert script.prompts[3] == encode_chat(tokenizer, kind, add_generation_prompt=True)[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/what", UNKNOWN_COMMAND),
        ("/undo", "nothing has been said yet"),
        ("/retry", "nothing has been said yet"),
        ("/set x=1", "write /set NAME=VALUE with one of temperature, top_k"),
        ("/set temperature", "write /set NAME=VALUE"),
        ("/set temperature=-1", "temperature: input should be greater than or equal to 0, not -1"),
        ("/set temperature=NaN", "temperature: input should be"),
        ("/set stop=x", "stop: input should be a valid list, not x"),
        ("/save", "write /save FILE"),
        ("/save .", ". exists; choose another name"),
        ("/save ~nobody-of-that-name/x", "'~nobody-of-that-name/x' cannot be the name of a file"),
        ("/save a\0b", "'a\\x00b' cannot be the name of a file; choose another"),
    ],
)
def test_a_mistake_does_not_end_the_session(talk: Talk, line: str, said: str) -> None:
    shown = talk(f"{line}\n/what\n/quit\nnever read\n")
    assert shown[0].startswith(said) and shown[1:] == [UNKNOWN_COMMAND]


def test_help_lists_every_command(talk: Talk) -> None:
    shown = talk("/help\n")
    assert [line.split()[0] for line in shown if line.strip()] == [
        "/new", "/retry", "/undo", "/system", "/set", "/save", "/quit"
    ]  # fmt: skip


def test_lines_that_go_on(talk: Talk, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Scripted(monkeypatch, tokenizer, "Yes.")
    talk("one\\\ntwo\\\n three\nfour\\\n")
    texts = ["one\ntwo\n three", "four"]
    for prompt, text in zip(script.prompts, texts, strict=True):
        assert tokenizer.decode(prompt).endswith(f"<|user|>\n{text}\n<|assistant|>\n")


def test_characters_of_several_tokens_are_printed_whole(
    talk: Talk, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = "é 🙂 日本"
    assert len(tokenizer.encode(answer)) > len(answer) + 3  # this tokenizer knows only their bytes
    Scripted(monkeypatch, tokenizer, answer)
    assert talk("Hi\n")[0] == answer


def test_an_interrupt_ends_the_answer_and_not_the_session(
    talk: Talk, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Scripted(monkeypatch, tokenizer, "Yes.")
    step, engines = Engine.step, []

    def interrupted(engine: Engine) -> object:
        engines.append(engine)
        if len(engines) == 3:
            raise KeyboardInterrupt
        return step(engine)

    monkeypatch.setattr(Engine, "step", interrupted)
    shown = talk("Hi\n/what\nHi\n")
    assert shown[1:3] == [UNKNOWN_COMMAND, "Yes."] and "Yes.".startswith(shown[0])
    assert script.prompts[0] == script.prompts[1], "the message without an answer was taken back"
    assert engines[0].is_idle


def test_too_long_a_message_does_not_end_the_session(talk: Talk) -> None:
    shown = talk(f"{'x ' * 300}\n/what\n")
    assert "does not fit the model's context of 128" in shown[0] and shown[1] == UNKNOWN_COMMAND
