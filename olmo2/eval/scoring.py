"""Answers -> scores of items -> the result of a task."""

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from olmo2.eval.answer_file import StoredAnswer
from olmo2.eval.judge import Judge
from olmo2.eval.loading import LoadedTask
from olmo2.eval.results import ItemScores, TaskResult
from olmo2.eval.statistics import Estimate, mean_of_groups, mean_of_items, weighted_mean
from olmo2.eval.task import AnyItem, Judged, JudgeQuestion, Likelihood, Ranked, Task, Written

NO_ANSWER = "no answer"

JUDGE_FAILED = "judge: "  # begins the reason why an item has no score


def score_items(items: Sequence[AnyItem], answers: Mapping[int, StoredAnswer], judge: Judge | None) -> list[ItemScores]:
    """Return the scores of all items, in their order; those without an answer, or without a verdict, have an error.

    What a grader raises, but for a judge's reply that says nothing, is a defect of it and goes on to the caller.
    """
    judged = [item for item in items if isinstance(item, Judged) and is_answered(answers.get(item.doc_id))]
    verdicts = judged_scores(judged, answers, judge)
    rest = [item for item in items if item.doc_id not in verdicts]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the grader of MATH computes in processes of its own
        graded = pool.map(lambda item: scored(item, answers.get(item.doc_id)), rest)
        of_rest = {item.doc_id: scores for item, scores in zip(rest, graded, strict=True)}
    return [of_rest.get(item.doc_id) or verdicts[item.doc_id] for item in items]


def is_answered(answer: StoredAnswer | None) -> bool:
    """Whether there is an answer to grade."""
    return answer is not None and not answer.error


def scored(item: AnyItem, answer: StoredAnswer | None) -> ItemScores:
    """Return the scores of one item."""
    if answer is None or answer.error:
        return failed(item, NO_ANSWER if answer is None else answer.error)
    match item:
        case Written():
            scores = item.grade(answer.response)
        case Ranked():
            if len(answer.logprobs) != len(item.options):
                return failed(item, f"{len(answer.logprobs)} log-probabilities for {len(item.options)} options")
            if not all(map(math.isfinite, answer.logprobs)):  # of an engine or a server that computed wrongly
                return failed(item, "a log-probability is not a finite number")
            scores = item.grade(likelihoods(item, answer))
        case _:
            raise AssertionError("a judged item that is answered has a verdict")
    return ItemScores(item.doc_id, item.group, dict(scores))


def failed(item: AnyItem, error: str) -> ItemScores:
    """Return that an item has no score, and why."""
    return ItemScores(item.doc_id, item.group, error=error)


def likelihoods(item: Ranked, answer: StoredAnswer) -> list[Likelihood]:
    """Return what was measured of every option."""
    measured = zip(item.options, answer.logprobs, answer.num_tokens, strict=True)
    return [option.likelihood(logprob, num_tokens) for option, logprob, num_tokens in measured]


def judged_scores(
    items: Sequence[Judged], answers: Mapping[int, StoredAnswer], judge: Judge | None
) -> dict[int, ItemScores]:
    """Return the scores that a judge, or where there is none a look at words, gives to responses."""
    found: dict[int, ItemScores] = {}
    if judge is None:
        for item in items:
            if item.grade_offline is None:
                found[item.doc_id] = failed(item, "no judge: name one with --judge.server or --judge.model")
            else:
                scores = item.grade_offline(answers[item.doc_id].response)
                found[item.doc_id] = ItemScores(item.doc_id, item.group, dict(scores))
        return found
    asked: list[tuple[Judged, JudgeQuestion]] = []
    for item in items:
        try:
            asked.append((item, item.ask(answers[item.doc_id].response)))
        except ValueError as error:
            found[item.doc_id] = failed(item, f"{JUDGE_FAILED}{error}")
    replies = judge.reply([question for _, question in asked]) if asked else []
    for (item, _), reply in zip(asked, replies, strict=True):
        try:
            if isinstance(reply, str):
                raise ValueError(reply)
            scores = item.grade(answers[item.doc_id].response, reply)
        except ValueError as error:
            found[item.doc_id] = failed(item, f"{JUDGE_FAILED}{error}")
        else:
            found[item.doc_id] = ItemScores(item.doc_id, item.group, dict(scores))
    return found


def task_result(loaded: LoadedTask, scores: Sequence[ItemScores], *, notes: Sequence[str] = ()) -> TaskResult:
    """Return the averages of a task's `scores`, which may lack some of its items."""
    task, source, items = loaded.task, loaded.source, loaded.items
    good = [each for each in scores if each.error is None]
    averages, warnings = estimates(task, good), tuple[str, ...]()
    if task.summarise is not None and good:
        summary = task.summarise(source, items, {each.doc_id: each.scores for each in good})
        averages |= summary.scores
        notes, warnings = [*notes, *summary.notes], summary.warnings
    remarks = [*source.notes, *notes]
    if len(items) != task.num_items:
        remarks.append(f"the data has {len(items):,} items, the published benchmark {task.num_items:,}")
    return TaskResult(
        version=task.version,
        prompt_hash=loaded.prompt_hash,
        metric=task.metric,
        average=task.average,
        scores=averages,
        num_items=len(good),
        num_expected=len(items),
        num_failed=len(scores) - len(good),
        is_published_setting=not remarks,
        notes=[*remarks, *warnings],
        groups=group_means(task, good),
    )


def estimates(task: Task, scores: Sequence[ItemScores]) -> dict[str, Estimate]:
    """Return the average of every metric, over the items that have it; one that only weighs others has none."""
    metrics = dict.fromkeys(metric for each in scores for metric in each.scores)
    found: dict[str, Estimate] = {}
    for metric in metrics:
        if metric in task.weights.values():
            continue
        having = [each for each in scores if metric in each.scores]
        if metric in task.weights:
            weights = [each.scores[task.weights[metric]] for each in having]
            found[metric] = weighted_mean([each.scores[metric] for each in having], weights)
        elif task.average == "groups":
            found[metric] = mean_of_groups([mean_of_items(values) for values in by_group(having, metric).values()])
        else:
            found[metric] = mean_of_items([each.scores[metric] for each in having])
    return found


def group_means(task: Task, scores: Sequence[ItemScores]) -> dict[str, Estimate]:
    """Return the average of the primary metric in every group; nothing where items have none."""
    having = [each for each in scores if each.group and task.metric in each.scores]
    return {group: mean_of_items(values) for group, values in sorted(by_group(having, task.metric).items())}


def by_group(scores: Sequence[ItemScores], metric: str) -> dict[str, list[float]]:
    """Return the values of a metric by group."""
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for each in scores:
        groups[each.group].append(each.scores[metric])
    return groups
