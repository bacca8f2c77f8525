"""Reward modelling: teach a model to give the chosen conversation of a pair a larger score than the rejected one.

The score is read off a conversation's last token. What comes of it is a folder that transformers opens as
Olmo2ForSequenceClassification, and where PPO's value model begins. Source: arXiv 2501.00656, table 26.

Shapes   B rows · T positions · D documents of the fullest row (chosen and rejected alternate) · P = B · D / 2 pairs
"""

from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor

from olmo2.checkpoint.folder import find_model_folder, lasting_name
from olmo2.checkpoint.reward_start import open_reward_start
from olmo2.data.batch import Batch
from olmo2.data.preferences import Preferences, WholePairDataSettings
from olmo2.loss.preference import document_sums, pairs_of, pairwise_loss
from olmo2.model.lora import LoraSettings
from olmo2.model.transformer import Transformer
from olmo2.optim.schedule import LinearSchedule
from olmo2.tokenizer.tokenizer import Tokenizer
from olmo2.train.assemble import Start, assemble
from olmo2.train.heldout_pairs import with_heldout_pairs
from olmo2.train.loop import stage_ranks, train
from olmo2.train.objective import Objective, Sums
from olmo2.train.preference_objective import num_pairs, require_whole_sequences
from olmo2.train.recipe import TrainRecipe

MEASURES = ("pairs/accuracy", "pairs/margin", "pairs/chosen_reward", "pairs/rejected_reward")


class RewardModelRecipe(TrainRecipe):
    """Everything that reward modelling needs to know."""

    load_path: str = Field(min_length=1)
    """model folder or hub name to start from; a language model gets a new head, drawn from run.seed"""
    data: WholePairDataSettings
    schedule: LinearSchedule = LinearSchedule()
    lora: LoraSettings | None = None
    """train adapters beside the weights instead of the weights; null = all weights"""

    @model_validator(mode="after")
    def has_no_text(self) -> "RewardModelRecipe":
        """Refuse to measure what a reward model cannot do."""
        if self.heldout is not None:
            raise ValueError("a reward model predicts no text: leave heldout out, and name pairs in data.heldout_paths")
        return self


def reward_model(recipe: RewardModelRecipe) -> Path:
    """Train the model and return its last checkpoint."""
    require_whole_sequences(recipe.parallel)
    objective = reward_objective()

    def start() -> Start:
        folder = find_model_folder(recipe.load_path)
        config, tokenizer, weights = open_reward_start(folder, recipe.run.seed)
        return Start(config, tokenizer, weights.items(), lasting_name(recipe.load_path, folder))

    with stage_ranks(recipe) as ranks:
        heldout: list[Preferences] = []

        def sequences_of(tokenizer: Tokenizer) -> Preferences:
            if recipe.data.heldout_paths:
                heldout.append(recipe.data.heldout_pairs(tokenizer))
            return recipe.data.pairs(tokenizer)

        job = assemble(recipe, start, sequences_of, ranks)
        return train(with_heldout_pairs(job, objective, heldout), objective)


def reward_objective() -> Objective:
    """Return what reward modelling minimises: the mean loss over the pairs of a step."""
    return Objective(reward_loss, num_pairs, num_pairs, MEASURES)


def reward_loss(model: Transformer, batch: Batch) -> Sums:
    """Return the sums over the pairs of a batch; where a row has fewer than the fullest, nothing is added."""

    def head(hidden: Any, score_weight: Any) -> Any:
        return pairwise_sums(hidden, score_weight, batch)

    return model(batch.input_ids, document_ids=batch.document_ids, head=head)


def pairwise_sums(
    hidden: Tensor,  # (B, T, C)
    score_weight: Tensor,  # (1, C)
    batch: Batch,
) -> Sums:
    """Return the sums over the pairs of a batch."""
    assert batch.document_ids is not None and batch.reference_logprobs is not None
    ids, most_documents = batch.document_ids, batch.reference_logprobs.shape[1]
    is_last = ids >= 0
    is_last[:, :-1] &= ids[:, :-1] != ids[:, 1:]
    # In float32, as where conversations are scored: in bfloat16 different ones would tie.
    scores = hidden.new_zeros(ids.shape, dtype=torch.float32)
    scores = scores.masked_scatter(is_last, hidden[is_last].float() @ score_weight[0].float())
    rewards = pairs_of(document_sums(scores, ids, most_documents))
    is_pair = pairs_of(document_sums(is_last.float(), ids, most_documents)).chosen
    losses = pairwise_loss(rewards) * is_pair
    with torch.no_grad():
        is_right = (rewards.difference > 0).float()
        measured = torch.stack((losses, is_right, rewards.difference, rewards.chosen, rewards.rejected))
        reported = (measured * is_pair).sum(dim=1)
    return Sums(losses.sum(), reported)
