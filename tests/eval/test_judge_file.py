"""What was judged is not judged again, whenever a call ended; another judge or response is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.judge import OnReply, ignore
from olmo2.eval.judge_file import KeptJudge, replies_path
from olmo2.eval.task import JudgeQuestion, JudgeReply, Prompt
from tests.eval.asking import task_of


@dataclass
class Scripted:
    """A judge that repeats what it is asked, says nothing of "silent", and is interrupted by "stop"."""

    name: str = "made up"
    identity: str = "0123"
    is_remote: bool = True
    asked: list[str] = field(default_factory=list)

    def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
        """Reply one by one."""
        replies: list[JudgeReply | str] = []
        for number, question in enumerate(questions):
            text = question.prompt.text
            self.asked.append(text)
            if text == "stop":
                raise KeyboardInterrupt
            replies.append("it says nothing" if text == "silent" else JudgeReply(f"{text}!", {"m": -0.5, " ü": -2.0}))
            on_reply(number, replies[-1])
        return replies


def questions_of(*texts: str) -> list[JudgeQuestion]:
    return [JudgeQuestion(Prompt(text), 8, 5) for text in texts]


def texts_of(replies: Sequence[JudgeReply | str]) -> list[str]:
    return [reply if isinstance(reply, str) else reply.text for reply in replies]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return replies_path(tmp_path, task_of([]))


def test_a_reply_is_kept(path: Path) -> None:
    judge = Scripted()
    asked = questions_of("a", "silent", "b", "a")
    first = KeptJudge(judge, path).reply(asked)
    assert texts_of(first) == ["a!", "it says nothing", "b!", "a!"] and judge.asked == ["a", "silent", "b"]
    told: dict[int, JudgeReply | str] = {}
    assert KeptJudge(judge, path).reply(asked, told.__setitem__) == first
    assert [told[number] for number in range(4)] == first
    assert judge.asked == ["a", "silent", "b", "silent"], "a failure is asked again"
    assert path.name == "made-up.judge.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["judge"], row["text"]) for row in rows] == [("made up", "a!"), ("made up", "b!")]


def test_an_interrupt_loses_nothing(path: Path) -> None:
    judge = Scripted()
    with pytest.raises(KeyboardInterrupt):
        KeptJudge(judge, path).reply(questions_of("a", "b", "stop", "c"))
    with open(path, "a") as file:
        file.write('{"question": "half a li')
    assert texts_of(KeptJudge(judge, path).reply(questions_of("a", "b", "c"))) == ["a!", "b!", "c!"]
    assert judge.asked == ["a", "b", "stop", "c"]
    assert texts_of(KeptJudge(judge, path).reply(questions_of("a", "b", "c"))) == ["a!", "b!", "c!"]
    assert judge.asked == ["a", "b", "stop", "c"]


def test_another_judge_or_question_is_asked(path: Path) -> None:
    judge, other = Scripted(), Scripted(identity="4567")
    KeptJudge(judge, path).reply(questions_of("a"))
    KeptJudge(other, path).reply(questions_of("a"))
    assert other.asked == ["a"]
    for change in (JudgeQuestion(Prompt("a"), 9, 5), JudgeQuestion(Prompt("", (("user", "a"),)), 8, 5)):
        KeptJudge(judge, path).reply([change])
    assert judge.asked == ["a", "a", ""]


def test_nothing_to_ask_touches_nothing(path: Path) -> None:
    judge = Scripted()
    assert KeptJudge(judge, path).reply([]) == [] and not path.exists()


@pytest.mark.parametrize("text", ["[]\n", "half a line\n", '{"question": "0"}\n'])
def test_a_damaged_file_is_named(text: str, path: Path) -> None:
    path.write_text(text)
    with pytest.raises(UsageError, match=r"made-up.judge.jsonl is damaged; remove it to ask the judge again"):
        KeptJudge(Scripted(), path).reply(questions_of("a"))


def test_two_at_a_time_are_one_too_many(tmp_path: Path) -> None:
    """The other would cut off the row that this one is writing."""
    path = tmp_path / "judge.jsonl"
    kept = KeptJudge(Scripted(), path)

    class Nosy(Scripted):
        def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
            with pytest.raises(UsageError, match=r"another process is writing to .*judge.jsonl; wait for it"):
                kept.reply(questions_of("other"))
            return super().reply(questions, on_reply)

    assert KeptJudge(Nosy(), path).reply(questions_of("one")) == kept.reply(questions_of("one"))


def test_tokens_are_kept_and_what_others_wrote_meanwhile_is_read(path: Path) -> None:
    class Counting(Scripted):
        def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
            self.asked += [question.prompt.text for question in questions]
            replies: list[JudgeReply | str] = [JudgeReply("yes", {}, 12, 3) for _ in questions]
            for number, reply in enumerate(replies):
                on_reply(number, reply)
            return replies

    judge = Counting()
    first, second = KeptJudge(judge, path), KeptJudge(judge, path)
    first.reply(questions_of("a"))
    second.reply(questions_of("b"))
    for kept in (first, second):
        for reply in kept.reply(questions_of("a", "b")):
            assert isinstance(reply, JudgeReply) and (reply.prompt_tokens, reply.completion_tokens) == (12, 3)
    assert judge.asked == ["a", "b"]


def test_replies_that_were_kept_without_tokens_are_read(path: Path) -> None:
    judge = Scripted()
    KeptJudge(judge, path).reply(questions_of("a"))
    row = json.loads(path.read_text())
    del row["prompt_tokens"], row["completion_tokens"]
    path.write_text(json.dumps(row) + "\n")
    assert texts_of(KeptJudge(judge, path).reply(questions_of("a"))) == ["a!"]
    assert judge.asked == ["a"]
