"""Our side of `bench/posttrain_cpu.py`: the steps of `olmo2 dpo` and `olmo2 sft`, one for each line that is read."""

import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from bench.posttrain_peers import BATCH, SEQ_LEN
from olmo2.base.config import make_recipe
from olmo2.checkpoint.folder import open_model
from olmo2.data.document_rows import DocumentRows
from olmo2.optim.adamw import build_optimizer
from olmo2.optim.skip_step import StepGuard
from olmo2.parallel.ranks import alone
from olmo2.train.assemble import Start, build_model
from olmo2.train.dpo import DpoRecipe
from olmo2.train.objective import num_targets
from olmo2.train.recipe import TrainRecipe
from olmo2.train.reference import reference_logprobs
from olmo2.train.sft import SftRecipe
from olmo2.train.step import train_step

PAIR_ROW = 512  # tokens of a row of one pair
MICRO_BATCH_ROWS = 4


def recipe_of(kind: str, folder: Path) -> TrainRecipe:
    """Return the recipe of a stage; what concerns its length and files is not used."""
    seq_len = PAIR_ROW if kind == "dpo" else SEQ_LEN
    file = folder / ("pairs.jsonl" if kind == "dpo" else "chats.jsonl")
    values = {
        "load_path": str(folder / "model"),
        "data": {"paths": [str(file)], "seq_len": seq_len, "cache_folder": None},
        "optim": {"peak_lr": 1e-6, "betas": [0.9, 0.999], "weight_decay": 0.0},
        "run": {
            "folder": str(folder / "ours"),
            "stage": kind,
            "epochs": 1,
            "global_batch_tokens": BATCH * seq_len,
            "micro_batch_sequences": MICRO_BATCH_ROWS,
        },
    }
    if kind == "sft":
        values["loss"] = {"z_loss_weight": 0.0}
    return make_recipe(DpoRecipe if kind == "dpo" else SftRecipe, values, kind)


def serve(kind: str, folder: Path) -> None:
    """Take a step for each line, and answer with its seconds and target tokens, and the peak memory in bytes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    recipe, ranks = recipe_of(kind, folder), alone()
    config, tokenizer, weights = open_model(folder / "model")
    model, about = build_model(recipe, Start(config, tokenizer, weights.items()), ranks)
    print(about)
    rows: DocumentRows
    if isinstance(recipe, DpoRecipe):
        rows = pairs = recipe.data.pairs(tokenizer)
        pairs.reference_logprobs = reference_logprobs(
            folder / "reference.safetensors",
            pairs,
            lambda: model,
            identity={},
            micro_batch_sequences=MICRO_BATCH_ROWS,
            ranks=ranks,
        )
        objective = recipe.loss.objective()
    else:
        assert isinstance(recipe, SftRecipe)
        rows, objective = recipe.data.conversations(tokenizer), recipe.loss.objective()
    optimizer, guard = build_optimizer(model, recipe.optim), StepGuard(None)
    first = 0
    for _ in sys.stdin:
        batch = rows.batch(np.arange(first, first + BATCH) % len(rows))
        first += BATCH
        started = time.perf_counter()
        train_step(
            model,
            optimizer,
            batch,
            objective,
            lr=1e-6,
            max_grad_norm=1.0,
            micro_batch_sequences=MICRO_BATCH_ROWS,
            guard=guard,
            ranks=ranks,
        )
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(seconds, num_targets(batch) if kind == "sft" else 0, peak, file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
