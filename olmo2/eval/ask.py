"""Asks a model the questions of many tasks in one pass, and keeps every answer as it comes."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from olmo2.base.errors import RunError, UsageError
from olmo2.eval.answer_file import AnswerFile, StoredAnswer, answers_path, read_header
from olmo2.eval.loading import LoadedTask
from olmo2.eval.model_under_test import ModelUnderTest
from olmo2.eval.questions import Question, questions_of, untokenized_questions_of
from olmo2.eval.respondent import Answer
from olmo2.eval.server_respondent import require_conversations
from olmo2.eval.task import AnyItem

SECONDS_BETWEEN_LINES = 60  # of progress that goes into a file


@dataclass(frozen=True)
class TaskToAsk:
    """A task and those of its items that are to be asked."""

    loaded: LoadedTask
    items: Sequence[AnyItem]


@dataclass(frozen=True)
class Asked:
    """What came of asking."""

    answers: Mapping[str, Mapping[int, StoredAnswer]]  # by task and doc_id; those of earlier calls too
    num_before: int  # items that were answered before
    num_items: int  # items asked now
    num_tokens: int  # read and written for them
    seconds: float


def ask_all(model: ModelUnderTest, tasks: Sequence[TaskToAsk], folder: Path) -> Asked:
    """Return the answers to all items, asking only what `folder` does not hold yet; the model is loaded if need be.

    Raises UsageError if the folder holds answers that were made in another way, RunError if nothing is answered at all.
    """
    if model.tokenizer is None:
        for each in tasks:
            require_conversations(each.loaded.task, each.items)
    require_own_answers(folder, model.made_with)
    with ExitStack() as stack:
        files: dict[str, AnswerFile] = {}
        questions: list[Question] = []
        num_before = 0
        for each in tasks:
            task = each.loaded.task
            made_with = {"task": f"{task.name} {task.version}", "prompts": each.loaded.prompt_hash}
            file = files[task.name] = AnswerFile(answers_path(folder, task), {**made_with, **model.made_with})
            stack.enter_context(file.adding())
            to_ask = [item for item in each.items if item.doc_id not in file.answers]
            num_before += len(each.items) - len(to_ask)
            if model.tokenizer is None:
                questions += untokenized_questions_of(task, to_ask, context=model.context)
            else:
                questions += questions_of(task, to_ask, model.tokenizer, context=model.context)
        if num_before:
            print(f"{num_before:,} items were answered before")
        collector = Collector(files, questions)
        try:
            collector.collect(model)
        except KeyboardInterrupt:
            kept = num_before + collector.num_kept
            print(f"{kept:,} items are answered and kept in {folder}; repeat the command to go on", file=sys.stderr)
            raise
        if questions and not num_before and not collector.num_answered:
            raise RunError(f"{model.about.name} answers no question: {collector.last_error}")
        answers = {name: file.answers for name, file in files.items()}
        num_items = len(collector.numbers_of)
        return Asked(answers, num_before, num_items, collector.num_tokens, collector.seconds)


def require_own_answers(folder: Path, made_with: Mapping[str, object]) -> None:
    """Raise UsageError if any task's answers in a folder were made in another way; files without answers are removed.

    So the rows of one folder are all of one model, whichever tasks are asked in which call.
    """
    for path in sorted(folder.glob("*.answers.jsonl")):
        with open(path, "rb") as lines:
            header, first = lines.readline(), lines.readline()
        if not first.endswith(b"\n"):
            path.unlink()
            continue
        said = read_header(path, header)
        different = [name for name, value in made_with.items() if said.get(name) != value]
        if different:
            raise UsageError(
                f"{folder} holds answers that were made with another {' and '.join(different)}; choose another "
                "--output, or remove it"
            )


class Collector:
    """Puts the answers to an item's questions together and keeps them."""

    def __init__(self, files: Mapping[str, AnswerFile], questions: Sequence[Question]) -> None:
        self.files, self.questions = files, questions
        self.numbers_of: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for number, question in enumerate(questions):
            self.numbers_of[question.item_key].append(number)
        self.waiting: defaultdict[tuple[str, int], dict[int, Answer]] = defaultdict(dict)
        self.num_answered = self.num_kept = self.num_tokens = 0
        self.seconds, self.last_error = 0.0, ""

    def collect(self, model: ModelUnderTest) -> None:
        """Ask everything."""
        if not self.questions:
            return
        respondent = model.load()
        begin = time.monotonic()
        with progress_shown(len(self.questions), "questions") as count:

            def on_answer(number: int, answer: Answer) -> None:
                question = self.questions[number]
                num_tokens = len(question.ids) + (answer.num_tokens if question.score_from is None else 0)
                self.take(number, answer)
                self.num_tokens += num_tokens
                count(num_tokens)

            respondent.answer(self.questions, on_answer)
        self.seconds = time.monotonic() - begin

    def take(self, number: int, answer: Answer) -> None:
        """Take one answer; the item is kept when it has all of them."""
        self.num_answered += not answer.error
        self.last_error = answer.error or self.last_error
        key = self.questions[number].item_key
        found = self.waiting[key]
        found[number] = answer
        numbers = self.numbers_of[key]
        if len(found) == len(numbers):
            del self.waiting[key]
            self.num_kept += 1
            self.files[key[0]].add(
                stored([self.questions[each] for each in numbers], [found[each] for each in numbers])
            )


def stored(questions: Sequence[Question], answers: Sequence[Answer]) -> StoredAnswer:
    """Return what is kept of an item's answers; of one that lacks an answer, why."""
    doc_id, is_cut = questions[0].item.doc_id, any(question.is_cut for question in questions)
    error = next((answer.error for answer in answers if answer.error), "")
    if error:
        return StoredAnswer(doc_id, error=error)
    num_tokens = tuple(answer.num_tokens for answer in answers)
    if questions[0].score_from is not None:
        logprobs = tuple(answer.logprob for answer in answers)
        return StoredAnswer(doc_id, logprobs=logprobs, num_tokens=num_tokens, is_cut=is_cut)
    (answer,) = answers
    return StoredAnswer(
        doc_id, response=answer.text, num_tokens=num_tokens, is_unfinished=answer.is_unfinished, is_cut=is_cut
    )


@contextmanager
def progress_shown(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show on standard error how far something is: a bar, or where nobody looks on, a line a minute.

    What it yields is to be called with the tokens of each that is done.
    """
    begin = shown = time.monotonic()
    done = num_tokens = 0

    def speed() -> str:
        return f"{num_tokens / max(time.monotonic() - begin, 1e-9):,.0f} tokens/s"

    console = Console(stderr=True)
    if not console.is_terminal:

        def count_in_lines(tokens: int) -> None:
            nonlocal done, num_tokens, shown
            done, num_tokens = done + 1, num_tokens + tokens
            if time.monotonic() - shown >= SECONDS_BETWEEN_LINES:
                shown = time.monotonic()
                print(f"{done:,} of {total:,} {what}, {speed()}", file=sys.stderr, flush=True)

        yield count_in_lines
        return
    columns = (
        TextColumn(what),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[speed]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=total, speed="")

        def count_in_bar(tokens: int) -> None:
            nonlocal num_tokens
            num_tokens += tokens
            progress.update(bar, advance=1, speed=speed())

        yield count_in_bar
