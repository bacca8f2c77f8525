"""A judge's replies, kept one by one as they come: what was judged once is not judged again.

TASK.judge.jsonl has a row for every reply, with a hash of the judge and of all that it was asked.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from olmo2.base.errors import UsageError
from olmo2.base.files import disk_errors
from olmo2.eval.answer_file import lock
from olmo2.eval.ask import progress_shown
from olmo2.eval.judge import Judge, OnReply, ignore
from olmo2.eval.task import JudgeQuestion, JudgeReply, Task


class KeptJudge:
    """A judge whose replies are kept in a file."""

    def __init__(self, judge: Judge, path: Path) -> None:
        self.judge, self.path = judge, path
        self.name, self.identity, self.is_remote = judge.name, judge.identity, judge.is_remote
        self.known: dict[str, JudgeReply] = {}  # what the file held when it had so many bytes
        self.num_bytes = 0

    def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
        """Return the reply to every question; the judge is asked what the file does not hold, equal ones once.

        Raises UsageError if the file is damaged.
        """
        keys = [question_key(self.identity, question) for question in questions]
        known = self.known = self.known if self.size() == self.num_bytes else self.read()
        new = {key: question for key, question in zip(keys, questions, strict=True) if key not in known}
        found = self.ask(new) if new else {}
        known.update({key: reply for key, reply in found.items() if isinstance(reply, JudgeReply)})
        self.num_bytes = self.size()
        replies = [known[key] if key in known else found[key] for key in keys]
        for number, reply in enumerate(replies):
            on_reply(number, reply)
        return replies

    def ask(self, new: dict[str, JudgeQuestion]) -> dict[str, JudgeReply | str]:
        """Ask the judge and keep its replies."""
        keys = list(new)
        with disk_errors(self.path), open(self.path, "a", encoding="utf-8") as file:
            lock(file, self.path)
            file.truncate(self.path.read_bytes().rfind(b"\n") + 1)
            with progress_shown(len(new), "responses to judge") as count:

                def keep(number: int, reply: JudgeReply | str) -> None:
                    count(0)
                    if isinstance(reply, JudgeReply):
                        row = {"question": keys[number], "judge": self.name, **asdict(reply)}
                        file.write(json.dumps(row) + "\n")
                        file.flush()

                return dict(zip(keys, self.judge.reply(list(new.values()), keep), strict=True))

    def size(self) -> int:
        """Return how many bytes the file has; 0 if there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read(self) -> dict[str, JudgeReply]:
        """Return the replies of earlier calls; a last line that was cut short is left out."""
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        try:
            rows = [json.loads(line) for line in lines]
            return {row.pop("question"): reply_of(**row) for row in rows}
        except (ValueError, TypeError, LookupError, AttributeError):
            raise UsageError(f"{self.path} is damaged; remove it to ask the judge again") from None


def reply_of(judge: str, **kept: Any) -> JudgeReply:
    """Return a reply as it was kept, by whichever `judge`. Raises TypeError for what is none."""
    return JudgeReply(**kept)


def question_key(judge: str, question: JudgeQuestion) -> str:
    """Return a hash of a judge and all that it is asked."""
    return hashlib.sha256(json.dumps([judge, asdict(question)], sort_keys=True).encode()).hexdigest()[:32]


def replies_path(folder: Path, task: Task) -> Path:
    """Return where the judge's replies about a task are kept."""
    return folder / f"{task.file_name}.judge.jsonl"
