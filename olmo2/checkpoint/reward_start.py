"""The weights of a new reward model: those of a language model, with a score in the place of its output matrix."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from olmo2.checkpoint.folder import open_model, require_fitting
from olmo2.model.init import SCORE, initial_score
from olmo2.model.sizes import ModelConfig
from olmo2.tokenizer.tokenizer import Tokenizer

LM_HEAD_WEIGHT, SCORE_WEIGHT = "lm_head.weight", f"{SCORE}.weight"


def open_reward_start(folder: Path, seed: int) -> tuple[ModelConfig, Tokenizer, Mapping[str, Tensor]]:
    """Return shape, tokenizer and weights of the reward model whose training begins with the model in `folder`.

    The embedding and blocks of a language model stay bit for bit what they are, and the head is drawn from `seed`; a
    reward model keeps its own. No weight is read before it is asked for. Raises UsageError for a tokenizer that pads
    with its end of text.
    """
    config, tokenizer, weights = open_model(folder, head=None)
    if config.head == "reward":
        return config, tokenizer, weights
    config = replace(config, head="reward")
    require_fitting(tokenizer, config, str(folder))
    score = initial_score(config, torch.Generator().manual_seed(seed))
    return config, tokenizer, WithScore(weights, score)


class WithScore(Mapping[str, Tensor]):
    """A language model's weights without its output matrix, and a head."""

    def __init__(self, weights: Mapping[str, Tensor], score: Tensor) -> None:
        self._weights, self._score = weights, score

    def __getitem__(self, name: str) -> Tensor:
        if name == LM_HEAD_WEIGHT:
            raise KeyError(name)
        return self._score if name == SCORE_WEIGHT else self._weights[name]

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._weights if name != LM_HEAD_WEIGHT)
        yield SCORE_WEIGHT

    def __len__(self) -> int:
        return len(self._weights)
