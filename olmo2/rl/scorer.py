"""What rates candidates: a judge, verifiers, or a reward; opened before models are asked, so that faults show early."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from olmo2.base.config import Count, Settings
from olmo2.checkpoint.folder import DTYPE_CHOICES, DtypeChoice, find_model_folder, load_model, read_model_folder
from olmo2.eval.judge import ServerJudge
from olmo2.eval.judge_choice import JudgeSettings, open_judge
from olmo2.eval.judge_file import KeptJudge
from olmo2.eval.model_under_test import hash_of
from olmo2.inference.reward import memory_errors
from olmo2.inference.reward_scoring import BATCH_TOKENS, reward_of
from olmo2.parallel.device import choose_device
from olmo2.rl.ask_pool import Group
from olmo2.rl.aspect_prompts import hash_of_prompts, read_aspect_prompts
from olmo2.rl.aspect_ratings import RatingSettings, rate
from olmo2.rl.candidate_scores import Reward, Scored, require_labels, reward_scores, verifier_scores
from olmo2.rl.pair_choice import ChoiceSettings
from olmo2.rl.pool_model import free_memory
from olmo2.rl.prompt_pool import PoolPrompt
from olmo2.tokenizer.chat_template import Message

JUDGE_FILE = "judge.jsonl"


class RewardModelSettings(Settings):
    """The reward model that rates."""

    model: str
    """run folder, checkpoint, Hugging Face folder or hub name; NAME@REVISION for a revision"""
    revision: str | None = None
    """revision of a hub name, or checkpoint of a run folder"""
    device: str = "auto"
    """auto, cuda, mps, xpu or cpu"""
    dtype: DtypeChoice = "stored"
    """of weights and activations"""
    batch_tokens: Count = Field(default=BATCH_TOKENS, ge=1)
    """tokens that are computed together, padding included"""


@dataclass(frozen=True)
class Scorer:
    """One that rates."""

    score: Callable[[Sequence[Group]], Scored]
    check: Callable[[Sequence[PoolPrompt]], None] = lambda prompts: None
    """raises UsageError for prompts whose answers it cannot rate"""
    reach: Callable[[], None] = lambda: None
    """raises RunError if the judge cannot be asked now"""
    judge: str | None = None
    """what tells the judge, or the reward model, from others"""
    judge_prompts: str | None = None
    """a hash of what it is asked"""


def verifier() -> Scorer:
    """Return what rates by right answers that the rows hold."""
    return Scorer(lambda groups: Scored(verifier_scores(groups)), require_labels)


def by_reward(reward: Reward) -> Scorer:
    """Return what rates by a function of conversations."""
    return Scorer(lambda groups: Scored(reward_scores(reward, groups)))


def by_reward_model(settings: RewardModelSettings) -> Scorer:
    """Return what rates by a reward model, which is loaded when it is asked.

    Raises UsageError for a folder that holds none.
    """
    folder = find_model_folder(settings.model, settings.revision)
    read_model_folder(folder, "reward")

    def reward(conversations: Sequence[Sequence[Message]]) -> list[float | None]:
        free_memory()
        device = choose_device(settings.device)
        model, tokenizer = load_model(folder, dtype=DTYPE_CHOICES[settings.dtype], device=device, head="reward")
        with memory_errors():
            return reward_of(model, tokenizer, conversations, batch_tokens=settings.batch_tokens)

    return replace(by_reward(reward), judge=hash_of(folder))


def by_judge(
    settings: JudgeSettings, rating: RatingSettings, choice: ChoiceSettings, folder: Path, *, most_failed: float
) -> Scorer:
    """Return what rates by a judge, whose replies are kept in `folder`.

    Raises UsageError for a judge or prompts that cannot be found, RunError for a server that does not name its model.
    """
    prompts, judge = read_aspect_prompts(rating.prompts), open_judge(settings)
    assert judge is not None, "the recipe names a judge"
    kept = KeptJudge(judge, folder / JUDGE_FILE)

    def score(groups: Sequence[Group]) -> Scored:
        return rate(groups, kept, prompts, rating, choice, most_failed=most_failed)

    def reach() -> None:
        if isinstance(judge, ServerJudge):
            judge.client.context()

    return Scorer(score, reach=reach, judge=judge.identity, judge_prompts=hash_of_prompts(prompts))
