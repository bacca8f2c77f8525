"""Benchmarks of ranked options in the middle of a training run: the model itself reads them, batch by batch.

Nothing is copied and no engine is built: a question is a row of a batch, padded at its end, where under a causal mask
no token sees it. Ranks share the batches as they share held-out text.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch

from olmo2.base.errors import UsageError
from olmo2.data.batch import IGNORED_LABEL, Batch, make_batch
from olmo2.eval.answer_file import StoredAnswer
from olmo2.eval.heldout import cross_entropy_of_rows, own_batches
from olmo2.eval.loading import drawn, load_task
from olmo2.eval.questions import Question, questions_of
from olmo2.eval.scoring import estimates, scored
from olmo2.eval.task import Ranked, Task
from olmo2.model.transformer import Transformer
from olmo2.parallel.ranks import Ranks
from olmo2.parallel.spread import drop_gathered
from olmo2.tokenizer.tokenizer import Tokenizer

REPORTED = "correct_bits_per_byte"  # of the right option: it falls smoothly, long before answers are right


@dataclass(frozen=True)
class InLoopTask:
    """A benchmark that is ready to be read."""

    task: Task
    items: Sequence[Ranked]
    questions: Sequence[Question]  # the longest first
    batches: Sequence[Batch]  # with a row for each question, in that order
    notes: Sequence[str]
    """why its numbers are not the published ones"""


def open_task(
    task: Task,
    data: Path | None,
    tokenizer: Tokenizer,
    *,
    limit: int | None,
    context: int,
    batch_tokens: int,
    multiple: int = 1,
) -> InLoopTask:
    """Read a benchmark, at most `limit` of its items, and put its questions into batches.

    No question is longer than `context`, no batch larger than `batch_tokens` with its padding unless a single row is,
    and the length of every row is a multiple of `multiple`. Raises UsageError or RunError if the task is answered in
    writing or its data cannot be had.
    """
    loaded = load_task(task, data)
    items = [item for item in drawn(loaded.items, limit) if isinstance(item, Ranked)]
    if not items:
        raise UsageError(f"{task.name} is answered in writing, which takes too long in training; name ranked tasks")
    questions = questions_of(task, items, tokenizer, context=context)
    questions.sort(key=lambda question: -len(question.ids))
    notes = list(loaded.source.notes)
    if num_cut := sum(question.is_cut for question in questions):
        notes.append(f"{num_cut:,} of {len(questions):,} prompts lose their beginning: a sequence has {context} tokens")
    batches = batches_of(questions, batch_tokens=batch_tokens, multiple=multiple, pad_id=tokenizer.pad_id)
    return InLoopTask(task, items, questions, batches, notes)


def batches_of(questions: Sequence[Question], *, batch_tokens: int, multiple: int, pad_id: int) -> list[Batch]:
    """Return batches of the questions, which come in falling order of length."""
    batches: list[Batch] = []
    start = 0
    while start < len(questions):
        longest = -(-len(questions[start].ids) // multiple) * multiple
        some = questions[start : start + max(1, batch_tokens // longest)]
        input_ids = np.full((len(some), longest), pad_id, np.int64)
        labels = np.full_like(input_ids, IGNORED_LABEL)
        for row, question in enumerate(some):
            assert question.score_from is not None
            input_ids[row, : len(question.ids)] = question.ids
            labels[row, question.score_from - 1 : len(question.ids) - 1] = question.ids[question.score_from :]
        batches.append(make_batch(input_ids, labels))
        start += len(some)
    return batches


@torch.no_grad()
def score_in_loop(model: Transformer, opened: InLoopTask, ranks: Ranks) -> dict[str, float]:
    """Return the task's own metric, and bits a byte of the right option where it has them; all ranks call this.

    The metric of a model that has diverged is not a number.
    """
    nats = question_nats(model, opened.batches, ranks)
    if not all(map(math.isfinite, nats)):
        return {opened.task.metric: math.nan}
    measured: defaultdict[int, dict[int, tuple[float, int]]] = defaultdict(dict)
    for question, each in zip(opened.questions, nats, strict=True):
        measured[question.item.doc_id][question.option] = -each, question.num_scored
    scores = []
    for item in opened.items:
        logprobs, num_tokens = zip(*(measured[item.doc_id][number] for number in range(len(item.options))), strict=True)
        scores.append(scored(item, StoredAnswer(item.doc_id, logprobs=logprobs, num_tokens=num_tokens)))
    found = estimates(opened.task, scores)
    return {metric: found[metric].value for metric in (opened.task.metric, REPORTED) if metric in found}


def question_nats(model: Transformer, batches: Sequence[Batch], ranks: Ranks) -> list[float]:
    """Return minus the log-likelihood of every row's labels in nats, batch after batch; equal on every rank."""
    sizes = [len(batch.input_ids) for batch in batches]
    starts = [0, *accumulate(sizes)]
    nats = np.zeros(starts[-1])
    for number, batch in enumerate(own_batches(batches, ranks)):
        # A rank that has nothing left reads the last batch without labels, which adds zeros.
        place = min(number * ranks.grid.batch_ranks + ranks.batch_rank, len(batches) - 1)
        rows = cross_entropy_of_rows(model, batch.to(model.device))
        nats[starts[place] : starts[place + 1]] += rows.cpu().numpy()
    drop_gathered(model)
    return ranks.sum(*nats.tolist())
