"""Pairs that are never trained on: how well the model tells chosen from rejected, measured in the middle of a run."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

import torch

from olmo2.data.batch import IGNORED_LABEL, Batch
from olmo2.data.preferences import Preferences
from olmo2.eval.heldout import heldout_batches, own_batches
from olmo2.model.transformer import Transformer
from olmo2.parallel.ranks import Ranks
from olmo2.parallel.spread import drop_gathered
from olmo2.train.assemble import Job
from olmo2.train.evaluation import Evaluate
from olmo2.train.objective import Objective

PREFIX = "heldout_"


def with_heldout_pairs(job: Job, objective: Objective, heldout: Sequence[Preferences]) -> Job:
    """Return the job, which measures the objective on all of `heldout` besides what it measures already."""
    measures = [
        pair_evaluation(objective, pairs, batch_sequences=job.recipe.run.micro_batch_sequences, ranks=job.ranks)
        for pairs in heldout
    ]
    others = [job.evaluate, *measures]
    job.evaluate = lambda model: reduce(or_, (measure(model) for measure in others))
    return job


def pair_evaluation(objective: Objective, pairs: Preferences, *, batch_sequences: int, ranks: Ranks) -> Evaluate:
    """Return the function that measures the objective on all `pairs`; all ranks call it together.

    Its numbers: heldout_pairs/loss_nats, and the objective's measures behind "heldout_".
    """
    batches = heldout_batches(pairs, batch_sequences=batch_sequences, max_tokens=len(pairs) * pairs.seq_len)
    names = [f"{PREFIX}pairs/loss_nats", *(PREFIX + name for name in objective.measures)]

    def evaluate(model: Transformer) -> dict[str, float]:
        return dict(zip(names, means(model, objective, batches, ranks), strict=True))

    return evaluate


@torch.no_grad()
def means(model: Transformer, objective: Objective, batches: Sequence[Batch], ranks: Ranks) -> list[float]:
    """Return the objective's reported sums over all batches as means."""
    count = 0
    reported = torch.zeros(1 + len(objective.measures), dtype=torch.float64)
    for batch in own_batches(batches, ranks):
        sums = objective.loss_of(model, batch.to(model.device)).reported
        if (batch.labels != IGNORED_LABEL).any():  # else this rank only goes along with the others
            count += objective.count(batch)
            reported += sums.cpu()
    drop_gathered(model)
    total, *values = ranks.sum(count, *reported.tolist())
    return [value / max(total, 1) for value in values]
