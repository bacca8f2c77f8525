"""Averages are those of the items that have scores, whatever became of the others, and defects are not hidden."""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.answer_file import StoredAnswer
from olmo2.eval.judge import OnReply, ignore
from olmo2.eval.loading import LoadedTask, load_task
from olmo2.eval.results import ItemScores
from olmo2.eval.scoring import score_items, task_result
from olmo2.eval.sources import Source
from olmo2.eval.statistics import Estimate
from olmo2.eval.task import (
    AnyItem,
    Judged,
    JudgeQuestion,
    JudgeReply,
    Likelihood,
    Option,
    Prompt,
    Ranked,
    Scores,
    Summary,
    Task,
    Written,
    prompt_hash,
)
from olmo2.eval.task_list import TASKS

ASK = Prompt("?")


def task_of(items: Sequence[AnyItem], **settings: Any) -> Task:
    return Task("made:up", 3, "", lambda source: items, "right", len(items), **settings)


def written(doc_id: int, group: str = "") -> Written:
    return Written(doc_id, "", "yes", ASK, lambda response: {"right": float(response == "yes")}, group=group)


def answers(*responses: str) -> dict[int, StoredAnswer]:
    return {doc_id: StoredAnswer(doc_id, response) for doc_id, response in enumerate(responses)}


def result(task: Task, items: Sequence[AnyItem], scores: Sequence[ItemScores], **settings: Any) -> Any:
    loaded = LoadedTask(task, settings.pop("source", Source()), list(items))
    return task_result(loaded, scores, **settings)


class FixedJudge:
    """A judge that says what it is told to."""

    name = identity = "fixed"

    def __init__(self, replies: Mapping[str, JudgeReply | str | Exception]) -> None:
        self.replies = replies
        self.calls = 0

    def reply(self, questions: Sequence[JudgeQuestion], on_reply: OnReply = ignore) -> list[JudgeReply | str]:
        self.calls += 1
        found: list[JudgeReply | str] = []
        for question in questions:
            reply = self.replies[question.prompt.text]
            if isinstance(reply, Exception):
                raise reply
            found.append(reply)
        return found


def judged(doc_id: int, *, by_words: bool = False) -> Judged:
    def ask(response: str) -> JudgeQuestion:
        if response == "not to be asked":
            raise ValueError("there is nothing to ask")
        return JudgeQuestion(Prompt(response), 1)

    def grade(response: str, reply: JudgeReply) -> Scores:
        return {"right": float(reply.text)}

    return Judged(doc_id, "", "", ASK, ask, grade, (lambda response: {"right": 0.5}) if by_words else None)


def test_written_items() -> None:
    items = [written(0), written(1), written(2)]
    assert score_items(items, answers("yes", "", "no"), None) == [
        ItemScores(0, "", {"right": 1.0}),
        ItemScores(1, "", {"right": 0.0}),
        ItemScores(2, "", {"right": 0.0}),
    ]


def test_items_without_answer_have_no_score() -> None:
    items: list[AnyItem] = [written(0), written(1, "g"), judged(2), written(5)]
    stored = {0: StoredAnswer(0, "yes"), 1: StoredAnswer(1, error="the server has gone")}
    assert score_items(items, stored, FixedJudge({})) == [
        ItemScores(0, "", {"right": 1.0}),
        ItemScores(1, "g", error="the server has gone"),
        ItemScores(2, "", error="no answer"),
        ItemScores(5, "", error="no answer"),
    ]


def test_ranked_items() -> None:
    def grade(found: Sequence[Likelihood]) -> Scores:
        return {
            "right": float(found[0].logprob > found[1].logprob),
            "tokens": float(found[1].num_tokens),
            "bytes": float(found[1].num_bytes),
        }

    options = (Option(ASK, " a"), Option(ASK, " é"))
    items = [Ranked(number, "", "", options, grade) for number in range(5)]
    found = score_items(
        items,
        {
            0: StoredAnswer(0, logprobs=(-1.0, -2.0), num_tokens=(1, 2)),
            1: StoredAnswer(1, logprobs=(-1.0,), num_tokens=(1,)),
            2: StoredAnswer(2, "a"),
            3: StoredAnswer(3, logprobs=(-1.0, math.nan), num_tokens=(1, 2)),
            4: StoredAnswer(4, logprobs=(-math.inf, -1.0), num_tokens=(1, 2)),
        },
        None,
    )
    assert found[0] == ItemScores(0, "", {"right": 1.0, "tokens": 2.0, "bytes": 3.0})
    assert [each.error for each in found[1:]] == [
        "1 log-probabilities for 2 options",
        "0 log-probabilities for 2 options",
        "a log-probability is not a finite number",
        "a log-probability is not a finite number",
    ]


def test_judged_items() -> None:
    said = {"a": "1", "b": "?", "": "0"}
    judge = FixedJudge({key: JudgeReply(text, {}) for key, text in said.items()} | {"c": "its context is too short"})
    found = score_items([judged(number) for number in range(5)], answers("a", "b", "c", "not to be asked", ""), judge)
    assert [each.scores for each in found] == [{"right": 1.0}, {}, {}, {}, {"right": 0.0}]
    assert [each.error for each in found] == [
        None,
        "judge: could not convert string to float: '?'",
        "judge: its context is too short",
        "judge: there is nothing to ask",
        None,
    ]


def test_without_a_judge_words_are_looked_at_or_there_is_no_score() -> None:
    found = score_items([judged(0), judged(1, by_words=True)], answers("a", "b"), None)
    assert found[0].error == "no judge: name one with --judge.server or --judge.model"
    assert found[1].scores == {"right": 0.5}


def test_a_judge_is_not_called_for_nothing() -> None:
    judge = FixedJudge({})
    assert score_items([written(0), judged(1)], {0: StoredAnswer(0, "yes")}, judge)[0].scores == {"right": 1.0}
    score_items([judged(0)], answers("not to be asked"), judge)
    assert judge.calls == 0


@pytest.mark.parametrize("error", [ZeroDivisionError("defect"), ValueError("defect"), UsageError("install sympy")])
def test_what_a_grader_or_a_judge_raises_is_not_hidden(error: Exception) -> None:
    def fail(response: str) -> Scores:
        if response == "bad":
            raise error
        return {"right": 1.0}

    items = [Written(number, "", "", ASK, fail) for number in range(50)]
    with pytest.raises(type(error), match=str(error)):
        score_items(items, answers(*["good"] * 25, "bad", *["good"] * 24), None)
    with pytest.raises(type(error), match=str(error)):
        score_items([replace(judged(0), grade_offline=fail)], answers("bad"), None)
    with pytest.raises(type(error), match=str(error)):
        score_items([judged(0)], answers("bad"), FixedJudge({"bad": error}))


def test_a_score_that_is_no_number_is_a_defect() -> None:
    items = [Written(0, "", "", ASK, lambda response: {"right": math.nan})]
    with pytest.raises(ValueError, match="right must be a finite number"):
        score_items(items, answers("x"), None)


def test_mean_over_items() -> None:
    items = [written(number) for number in range(6)]
    scores = score_items(items, answers("yes", "no", "yes", "yes"), None)[:5]
    task = task_of(items)
    found = result(task, items, scores)
    error = statistics.stdev([1, 0, 1, 1]) / math.sqrt(4)
    assert asdict(found.scores["right"]) == pytest.approx({"value": 0.75, "standard_error": error, "num_items": 4})
    assert (found.num_items, found.num_expected, found.num_failed, found.is_partial) == (4, 6, 1, True)
    assert (found.version, found.metric, found.average) == (3, "right", "items")
    assert found.prompt_hash == prompt_hash(task, items)
    assert found.is_published_setting and found.notes == [] and found.groups == {}
    whole = result(task, items, score_items(items, answers(*["yes"] * 6), None))
    assert not whole.is_partial and whole.scores["right"] == Estimate(1.0, 0.0, 6)


def test_one_item_has_no_standard_error_and_no_item_no_scores() -> None:
    items = [written(0), written(1)]
    assert result(task_of(items), items, [ItemScores(0, "", {"right": 1.0})]).scores == {"right": Estimate(1, None, 1)}
    found = result(task_of(items), items, score_items(items, {}, None))
    assert (found.scores, found.groups, found.num_items, found.num_failed) == ({}, {}, 0, 2) and found.is_partial


def test_mean_over_groups() -> None:
    values = {"big": [1, 1, 0, 1, 1], "small": [0, 1], "failed": []}
    scores = [
        ItemScores(number, group, {"right": float(value)})
        for number, (group, value) in enumerate((group, value) for group in values for value in values[group])
    ]
    items = [written(number, each.group) for number, each in enumerate(scores)] + [written(7, "failed")]
    found = result(task_of(items, average="groups"), items, [*scores, ItemScores(7, "failed", error="x")])
    error = math.sqrt(statistics.variance([1, 1, 0, 1, 1]) / 5 + statistics.variance([0, 1]) / 2) / 2
    assert asdict(found.scores["right"]) == pytest.approx({"value": 0.65, "standard_error": error, "num_items": 7})
    assert {group: each.value for group, each in found.groups.items()} == {"big": 0.8, "small": 0.5}
    assert found.is_partial and found.num_failed == 1


def test_shares_of_instructions_are_pooled_as_in_olmes() -> None:
    followed = [[True], [True, False], [False, False, True], [True, True]]
    items = [written(number) for number in range(4)]
    scores = [
        ItemScores(number, "", {"right": float(all(each)), "share": sum(each) / len(each), "weight": float(len(each))})
        for number, each in enumerate(followed)
    ]
    found = result(task_of(items, weights={"share": "weight"}), items, scores)
    # OLMES's IFEval metric gives 0.5 and 0.625 for these.
    assert {metric: each.value for metric, each in found.scores.items()} == {"right": 0.5, "share": 0.625}
    assert found.scores["share"].num_items == 4 and found.scores["share"].standard_error is not None


def test_a_metric_of_some_items_is_averaged_over_those() -> None:
    items = [written(0), written(1)]
    scores = [ItemScores(0, "", {"right": 1.0, "rare": 0.5}), ItemScores(1, "", {"right": 0.0})]
    assert result(task_of(items), items, scores).scores["rare"] == Estimate(0.5, None, 1)


def test_what_is_not_as_published_is_noted() -> None:
    items, source = [written(0), written(1)], Source()
    source.note("other examples")
    task = replace(task_of(items), num_items=1319)
    found = result(task, items, score_items(items, answers("yes", "no"), None), source=source, notes=["cut"])
    assert found.notes == ["other examples", "cut", "the data has 2 items, the published benchmark 1,319"]
    assert not found.is_published_setting and not found.is_partial


def test_further_averages_of_a_task() -> None:
    items = [written(0), written(1), written(2)]

    def summarise(source: Source, all_items: Sequence[AnyItem], scores: Mapping[int, Scores]) -> Summary:
        assert all_items == items and scores == {0: {"right": 1.0}, 2: {"right": 0.0}}
        return Summary({"fitted": Estimate(0.25, None, 2)}, ("fitted otherwise",))

    scores = [ItemScores(0, "", {"right": 1.0}), ItemScores(1, "", error="x"), ItemScores(2, "", {"right": 0.0})]
    found = result(task_of(items, summarise=summarise), items, scores)
    assert {metric: each.value for metric, each in found.scores.items()} == {"right": 0.5, "fitted": 0.25}
    assert found.notes == ["fitted otherwise"]


def test_all_of_mmlu_is_graded_in_seconds(shared: Path) -> None:
    loaded = load_task(TASKS["mmlu"], shared / "data")
    stored = {
        item.doc_id: StoredAnswer(item.doc_id, "word " * 100 + f"Therefore, the answer is: {item.answer}")
        for item in loaded.items
    }
    begin = time.process_time()
    found = result(loaded.task, loaded.items, score_items(loaded.items, stored, None), source=loaded.source)
    assert time.process_time() - begin < 10
    assert found.num_items == 14_042 and found.scores["exact_match"] == Estimate(1.0, 0.0, 14_042)
    assert len(found.groups) == 57 and not found.is_partial
