"""What every rank of test_spread.py runs for a reward model: its one row of output is on the first rank alone.

The comparison is with the plain model on one device and torch's own AdamW.
"""

import itertools
import json
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from olmo2.base.errors import UsageError
from olmo2.model.init import initial_weights, initialise
from olmo2.model.reward_head import scores_at
from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import OptimSettings, build_optimizer
from olmo2.parallel.launch import join_ranks
from olmo2.parallel.mesh import ParallelSettings, grid_for
from olmo2.parallel.ranks import Ranks
from olmo2.parallel.shards import fill, whole
from olmo2.parallel.spread import spread
from tests.parallel.equality import CONFIG, EPS, PEAK_LR, SEQ_LEN

REWARD = replace(CONFIG, head="reward")
STEPS, PAIRS = 2, 4


def pairs(step: int) -> tuple[Tensor, Tensor]:
    """Rows of which each is chosen and the next rejected, and where they end."""
    generator = torch.Generator().manual_seed(step)
    last = torch.randint(SEQ_LEN, (2 * PAIRS,), generator=generator)
    return torch.randint(CONFIG.vocab_size, (2 * PAIRS, SEQ_LEN), generator=generator), last


def on_one_device() -> dict[str, Tensor]:
    """Plain torch."""
    model = Transformer(REWARD)
    initialise(model, 0)
    decayed = [p for name, p in model.named_parameters() if "embed_tokens" not in name]
    groups = [{"params": decayed}, {"params": [model.model.embed_tokens.weight], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_LR, betas=(0.9, 0.95), eps=EPS, weight_decay=0.1)
    for step in range(STEPS):
        input_ids, last = pairs(step)
        chosen, rejected = model(input_ids)[torch.arange(2 * PAIRS), last, 0].view(PAIRS, 2).T
        (-F.logsigmoid(chosen - rejected).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


def on_ranks(ranks: Ranks, settings: ParallelSettings) -> dict[str, Tensor]:
    """The model spread over the ranks, a share of the pairs for each."""
    with torch.device("meta"):
        model = Transformer(REWARD)
    spread(model, ranks, settings, compute_dtype=torch.float32, compile=False)
    fill(model, initial_weights(REWARD, 0))
    optimizer = build_optimizer(model, OptimSettings(peak_lr=PEAK_LR, eps=EPS))
    share = 2 * PAIRS // ranks.world_size
    own = slice(ranks.rank * share, (ranks.rank + 1) * share)
    for step in range(STEPS):
        input_ids, last = pairs(step)
        chosen, rejected = model(input_ids[own], head=scores_at(last[own])).view(-1, 2).T
        (-F.logsigmoid(chosen - rejected).sum() / PAIRS).backward()
        optimizer.step()
        optimizer.zero_grad()
    return {name: whole(parameter.detach()) for name, parameter in model.named_parameters()}


def main() -> None:
    torch.set_num_threads(1)
    with join_ranks(ParallelSettings(), "cpu") as first:
        expected = on_one_device()
        for shard, recompute in itertools.product((1, 2), ("none", "all")):
            settings = ParallelSettings(shard=shard, recompute=recompute)
            found = on_ranks(Ranks(first.device, grid_for(settings, 2), first.rank), settings)
            for name, weight in found.items():
                distance = (weight - expected[name]).abs().max().item()
                assert distance < 1e-6, f"{settings}: {name} is off by {distance}"
        settings = ParallelSettings(tensor=2)
        with pytest.raises(UsageError, match="set both to 1"):
            on_ranks(Ranks(first.device, grid_for(settings, 2), first.rank), settings)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
