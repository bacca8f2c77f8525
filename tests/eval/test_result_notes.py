"""Why a result is not that of the published setting."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from olmo2.eval.answer_file import StoredAnswer
from olmo2.eval.loading import LoadedTask, load_task
from olmo2.eval.result_notes import NO_CHAT_TEMPLATE, cut_notes, judge_notes, layout_notes
from olmo2.eval.sources import Source
from olmo2.eval.task import Judged, JudgeQuestion, Prompt
from olmo2.eval.task_list import TASKS


@dataclass(frozen=True)
class NamedJudge:
    """A judge of which only the name counts."""

    name: str
    identity: str = ""
    is_remote: bool = True

    def reply(self, questions: Any, on_reply: Any = None) -> list[Any]:
        """Say nothing."""
        return []


def judged_task(name: str, *, is_gradable_offline: bool) -> LoadedTask:
    """Return a task with one item that a judge reads."""
    offline = (lambda response: {"safe": 1.0}) if is_gradable_offline else None
    item = Judged(0, "q", "a", Prompt("q"), lambda _: JudgeQuestion(Prompt(""), 1), lambda *_: {}, offline)
    return LoadedTask(TASKS[name], Source(), [item])


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        (None, ["judged by looking for words of refusal, not by wildguard"]),
        (NamedJudge("someone/else"), ["judged by someone/else, not by wildguard"]),
        (NamedJudge("allenai/WildGuard"), []),
        (NamedJudge("wildguard", is_remote=False), ["judged by wildguard here, not by wildguard"]),
    ],
)
def test_judges(judge: NamedJudge | None, expected: list[str]) -> None:
    assert judge_notes(judged_task("xstest", is_gradable_offline=True), judge) == expected


def test_without_a_judge_nothing_was_judged() -> None:
    assert judge_notes(judged_task("alpaca_eval", is_gradable_offline=False), None) == []
    assert judge_notes(load_task(TASKS["tiny:orders"], None), NamedJudge("x")) == []


def test_prompts_that_were_cut() -> None:
    task, answers = TASKS["gsm8k"], [StoredAnswer(number, "", is_cut=number < 2) for number in range(5)]
    assert cut_notes(task, answers, 512) == ["2 of 5 prompts lost their beginning: the context has 512 tokens"]
    assert cut_notes(task, answers, None) == ["2 of 5 prompts lost their beginning: the context is short"]
    assert cut_notes(task, answers[2:], 512) == []


def test_answers_that_had_no_room() -> None:
    """One that is as long as the task allows is as the published ones are."""
    task = TASKS["gsm8k"]
    answers = [StoredAnswer(0, "", num_tokens=(num,), is_unfinished=True) for num in (35, task.max_new_tokens)]
    answers.append(StoredAnswer(1, "", num_tokens=(20,)))
    assert cut_notes(task, answers, 64) == ["1 of 3 answers had no room to end: the context has 64 tokens"]


def test_conversations_without_a_template() -> None:
    bare: Any = SimpleNamespace(has_chat_template=False)
    assert layout_notes(load_task(TASKS["tiny:orders"], None), bare) == [NO_CHAT_TEMPLATE]
    assert layout_notes(load_task(TASKS["tiny:choices"], None), bare) == []  # plain texts
    assert layout_notes(load_task(TASKS["tiny:orders"], None), SimpleNamespace(has_chat_template=True)) == []  # type: ignore[arg-type]
