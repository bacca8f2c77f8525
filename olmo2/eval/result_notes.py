"""Why a result is not that of the published setting: layout, context and judge."""

from collections.abc import Sequence

from olmo2.eval.answer_file import StoredAnswer
from olmo2.eval.benchmarks import safety
from olmo2.eval.judge import Judge
from olmo2.eval.loading import LoadedTask
from olmo2.eval.model_under_test import ModelUnderTest
from olmo2.eval.task import Judged, Ranked, Task

PUBLISHED_JUDGES = {"alpaca_eval": "gpt-4-1106-preview", **dict.fromkeys(safety.COMPONENTS, "wildguard")}
NO_CHAT_TEMPLATE = "the model has no chat template: conversations are laid out in OLMo 2's"


def layout_notes(loaded: LoadedTask, model: ModelUnderTest) -> list[str]:
    """Say where conversations were laid out in another way than the model knows."""
    first = loaded.items[0]
    prompt = first.options[0].prompt if isinstance(first, Ranked) else first.prompt
    return [NO_CHAT_TEMPLATE] if prompt.turns and not model.has_chat_template else []


def cut_notes(task: Task, answers: Sequence[StoredAnswer], context: int | None) -> list[str]:
    """Say where a context of so many tokens (None = not known) was too short for what is published."""
    num_cut = sum(answer.is_cut for answer in answers)
    # One that is as long as the task allows may well be unfinished.
    num_short = sum(answer.is_unfinished and sum(answer.num_tokens) < task.max_new_tokens for answer in answers)
    has = "the context is short" if context is None else f"the context has {context:,} tokens"
    of = f"of {len(answers):,}"
    notes = [f"{num_cut:,} {of} prompts lost their beginning: {has}"] if num_cut else []
    return notes + ([f"{num_short:,} {of} answers had no room to end: {has}"] if num_short else [])


def judge_notes(loaded: LoadedTask, judge: Judge | None) -> list[str]:
    """Say who judged, if it was not the published judge."""
    judged = [item for item in loaded.items if isinstance(item, Judged)]
    if not judged or (judge is None and judged[0].grade_offline is None):
        return []
    published = PUBLISHED_JUDGES.get(loaded.task.name, "")
    has_published_name = judge is not None and judge.name.rpartition("/")[2].lower() == published
    if judge is None:
        return [f"judged by looking for words of refusal, not by {published or 'a model'}"]
    if has_published_name and judge.is_remote:  # those that are loaded here are of another architecture
        return []
    here = " here" if has_published_name else ""
    return [f"judged by {judge.name}{here}" + (f", not by {published}" if published else "")]
