"""Why a result is not that of the published setting: layout, context and judge."""

from collections.abc import Sequence

from olmo2.eval.answer_file import StoredAnswer
from olmo2.eval.benchmarks import safety
from olmo2.eval.judge import Judge
from olmo2.eval.loading import LoadedTask
from olmo2.eval.model_under_test import ModelUnderTest
from olmo2.eval.task import Judged, Ranked

PUBLISHED_JUDGES = {"alpaca_eval": "gpt-4-1106-preview", **dict.fromkeys(safety.COMPONENTS, "wildguard")}
NO_CHAT_TEMPLATE = "the model has no chat template: conversations are laid out in OLMo 2's"


def layout_notes(loaded: LoadedTask, model: ModelUnderTest) -> list[str]:
    """Say where conversations were laid out in another way than the model knows."""
    first = loaded.items[0]
    prompt = first.options[0].prompt if isinstance(first, Ranked) else first.prompt
    return [NO_CHAT_TEMPLATE] if prompt.turns and not model.has_chat_template else []


def cut_notes(answers: Sequence[StoredAnswer], model: ModelUnderTest) -> list[str]:
    """Say where the model's context was too short for what is published."""
    num_cut = sum(answer.is_cut for answer in answers)
    if not num_cut:
        return []
    return [f"{num_cut:,} of {len(answers):,} prompts lost their beginning: the context has {model.context:,} tokens"]


def judge_notes(loaded: LoadedTask, judge: Judge | None) -> list[str]:
    """Say who judged, if it was not the published judge."""
    judged = [item for item in loaded.items if isinstance(item, Judged)]
    if not judged or (judge is None and judged[0].grade_offline is None):
        return []
    published = PUBLISHED_JUDGES.get(loaded.task.name, "")
    if judge is None:
        return [f"judged by looking for words of refusal, not by {published or 'a model'}"]
    is_published = judge.name.rpartition("/")[2].lower() == published
    return [] if is_published else [f"judged by {judge.name}" + (f", not by {published}" if published else "")]
