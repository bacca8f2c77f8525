"""Kill training runs with SIGKILL at random moments, resume them, and compare with a run that was never interrupted.

A small model is trained on one rank and on two, saving every few steps, in the background and not, ephemeral
checkpoints and permanent ones. One process or all are killed at random: while starting, between steps, while a
checkpoint is written, when one has just got its name, while one is deleted, at the end of the run. After every kill

- a checkpoint that was complete before is still there, unless it was ephemeral and a later one is complete,
- every complete checkpoint holds, bit for bit, the weights, moments and state of the uninterrupted run at that step,

and a run that is complete at last has all permanent checkpoints and no other, one row of metrics a step with the
uninterrupted run's loss, and nothing unfinished lies about.

    python bench/kill_and_resume.py [--kills N] [--ranks 1 2] [--seed N] [--folder PATH]      ten minutes on two cores

Exits with 1 and keeps the folder if anything differs. A seed repeats what is aimed at, not the machine's timing.
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from olmo2.base.config import make_recipe, recipe_text
from olmo2.base.files import PARTIAL_PREFIX, fingerprint, read_json
from olmo2.base.metrics import read_metrics
from olmo2.checkpoint.keep import CONTENTS_FILE, RECIPE_FILE, TRAINER_FOLDER, complete_checkpoints, stage_and_step
from olmo2.checkpoint.run_state import STATE_FILE
from olmo2.data.tokenize import TokenizeRecipe, tokenize
from olmo2.data.train_tokenizer import TrainTokenizerRecipe, train_tokenizer
from olmo2.train.pretrain import PretrainRecipe

ROOT = Path(__file__).parents[1]
STEPS, SAVE_EVERY, KEEP_EVERY = 160, 4, 40
KILLS_OF_A_RUN = 10  # the last of them at its end; after them it is left alone until it is complete
MOST_SIGNS, MOST_CHECKPOINTS = 6, 9  # to let pass before a kill
POLL_SECONDS = 0.001
LIMIT_SECONDS = 600  # of one process
MOMENTS = {  # what a kill is aimed at -> how often, and how many seconds after the sign of it at most
    "start": (3, 8.0),  # no sign: from the first moment of the processes on
    "steps": (4, 1.0),  # a checkpoint has got its name
    "writing": (5, 0.15),  # a checkpoint's files are being written
    "naming": (4, 0.01),  # a checkpoint has got its name; after the next step others are deleted
    "deleting": (3, 0.0),
    "end": (0, 0.3),  # the last checkpoint has got its name
}
SURVIVORS_SECONDS = 2.0  # until those that were not killed are killed too, as torchrun does
LEFT_ALONE = 0.1  # share of the kills after which survivors are left to end by themselves


class Mismatch(Exception):
    """What a run should not have done."""


@dataclass
class Tally:
    """What was done."""

    kills: Counter[str] = field(default_factory=Counter)
    during_save: int = 0
    during_deletion: int = 0
    resumes: int = 0
    runs: int = 0
    compared: int = 0
    lost_rows: int = 0


@dataclass
class Reference:
    """The uninterrupted run: file hashes by step, and the losses."""

    hashes: dict[int, dict[str, str]]
    losses: list[tuple[int, float]]


def main() -> None:
    """Run the campaign and print what it found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30, help="for each number of ranks")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--folder", type=Path, help="a new folder to work in")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    print(f"seed {options.seed}, {options.kills} kills for each of {options.ranks} ranks, {folder}", flush=True)
    started = time.monotonic()
    write_corpus(folder)
    for world_size in options.ranks:
        try:
            tally = campaign(folder, world_size, options.kills, random.Random(options.seed + world_size))
        except Mismatch as mismatch:
            sys.exit(f"MISMATCH with seed {options.seed} at {world_size} ranks: {mismatch}; {folder} is kept")
        print(
            f"{world_size} rank{'s' * (world_size > 1)}: {sum(tally.kills.values())} kills "
            f"({', '.join(f'{moment} {count}' for moment, count in tally.kills.items())}; {tally.during_save} hit a "
            f"save, {tally.during_deletion} a deletion), {tally.resumes} resumes, {tally.runs} runs completed, "
            f"{tally.compared} complete checkpoints compared: all bit-identical, none lost; "
            f"{tally.lost_rows} rows of metrics lost",
            flush=True,
        )
    print(f"{time.monotonic() - started:.0f} s, seed {options.seed}: no mismatch")
    if options.folder is None:
        shutil.rmtree(folder)


def write_corpus(folder: Path) -> None:
    """Write a tokenizer and a few thousand tokens."""
    folder.mkdir(exist_ok=True)
    numbers = random.Random(0)
    texts = [f"{a} plus {b} is {a + b}, and {a} times {b} is {a * b}." for a, b in pairs(numbers, 4000)]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    documents, tokenizer = [str(folder / "text.jsonl")], str(folder / "tokenizer")
    train_tokenizer(TrainTokenizerRecipe(documents=documents, output=tokenizer, vocab_size=512))
    tokenize(TokenizeRecipe(documents=documents, tokenizer=tokenizer, output=str(folder / "tokens"), heldout_every=20))


def pairs(numbers: random.Random, count: int) -> list[tuple[int, int]]:
    """Return random pairs of numbers."""
    return [(numbers.randrange(1000), numbers.randrange(1000)) for _ in range(count)]


def write_run_recipe(folder: Path, run: str, *, background: bool, keep_every: int) -> Path:
    """Write the recipe of a run that saves every few steps; return its path."""
    model = {"size": "olmo2-1m", "max_position_embeddings": 128}
    values = {
        "verb": "pretrain",
        "model": model,
        "tokenizer": str(folder / "tokenizer"),
        "data": {"paths": [str(folder / "tokens")], "seq_len": 32},
        "heldout": {"paths": [str(folder / "tokens-heldout")], "max_tokens": 2048},
        "optim": {"peak_lr": 3e-3, "skip_step": {"window_steps": 16, "min_steps": 8}},
        "schedule": {"warmup_tokens": 5000, "decay": "cosine"},
        "keep": {"save_every_steps": keep_every, "ephemeral_every_steps": SAVE_EVERY, "background": background},
        "run": {
            "folder": str(folder / run),
            "stage": "stage1",
            "total_steps": STEPS,
            "global_batch_tokens": 256,
            "micro_batch_sequences": 4,
            "device": "cpu",
            "dtype": "fp32",
            "compile": False,
            "evaluate_every_steps": 30,
            "log_every_steps": 1,
        },
    }
    path = folder / f"{run}.yaml"
    path.write_text(recipe_text(make_recipe(PretrainRecipe, values, run)))
    return path


def campaign(folder: Path, world_size: int, num_kills: int, chance: random.Random) -> Tally:
    """Interrupt runs until there were enough kills. Raises Mismatch."""
    whole = write_run_recipe(folder, f"whole{world_size}", background=True, keep_every=SAVE_EVERY)
    started = time.monotonic()
    processes = start(whole, world_size)
    wait(processes)
    print(f"uninterrupted run on {world_size}: {time.monotonic() - started:.0f} s", flush=True)
    run = folder / whole.stem
    losses = [(row["step"], row["loss_nats"]) for row in read_metrics(run)]
    reference = Reference({stage_and_step(path)[1]: hashes(path) for path in complete_checkpoints(run)}, losses)
    if any(process.returncode for process in processes) or len(reference.hashes) * SAVE_EVERY != STEPS:
        raise Mismatch(f"the uninterrupted run failed: see {folder}/{whole.stem}-rank0.log")
    tally = Tally()
    while tally.kills.total() < num_kills:
        tally.runs += 1
        path = write_run_recipe(
            folder, f"run{world_size}-{tally.runs}", background=tally.runs % 2 == 1, keep_every=KEEP_EVERY
        )
        kills = min(KILLS_OF_A_RUN, num_kills - tally.kills.total())
        interrupted_run(path, world_size, kills, reference, tally, chance)
        print(f"run {tally.runs} complete, {tally.kills.total()} kills", flush=True)
        shutil.rmtree(folder / path.stem)
    return tally


def interrupted_run(
    path: Path, world_size: int, num_kills: int, reference: Reference, tally: Tally, chance: random.Random
) -> None:
    """Kill and resume one run up to `num_kills` times, let it come to its end, and compare. Raises Mismatch."""
    run = path.with_suffix("")
    known: set[str] = set()  # checkpoints that have been complete
    while True:
        tally.resumes += bool(complete_checkpoints(run))
        processes = start(path, world_size)
        moment = (
            chance.choices(list(MOMENTS), [weight for weight, _ in MOMENTS.values()])[0] if num_kills > 1 else "end"
        )
        if num_kills and wait_for(moment, run, processes, known, chance):
            partial = unfinished(run)
            kill(processes, chance)
            num_kills -= 1
            tally.kills[moment] += 1
            tally.during_save += any(is_being_written(name) for name in partial)
            tally.during_deletion += any(not is_being_written(name) for name in partial)
            known = compare(run, known, reference, tally)
            continue
        wait(processes)
        if any(process.returncode for process in processes):
            raise Mismatch(f"{run.name} cannot go on: see {run}-rank0.log")
        compare(run, known, reference, tally)
        tally.lost_rows += compare_end(run, reference)
        return


def wait_for(
    moment: str, run: Path, processes: list[subprocess.Popen[bytes]], known: set[str], chance: random.Random
) -> bool:
    """Return at the moment to kill at, with the checkpoints seen added to `known`; False if the run ends before."""
    started = time.monotonic()
    delay = chance.uniform(0, MOMENTS[moment][1])
    to_pass = 1 if moment == "end" else chance.randint(1, MOST_SIGNS)
    passed, old = set[str](), set(known)
    due = started + delay if moment == "start" else None
    while any(process.poll() is None for process in processes):
        now = time.monotonic()
        if now - started > LIMIT_SECONDS:
            raise Mismatch(f"{run.name} hangs: see {run}-rank0.log")
        names = {name for name in listed(run) if name.startswith("stage1-")}
        known |= names
        if moment in ("writing", "deleting"):
            passed |= {name for name in unfinished(run) if is_being_written(name) == (moment == "writing")}
        else:
            passed |= {name for name in names - old if moment != "end" or step_of(name) == STEPS}
        if due is None and len(passed) >= to_pass:
            due = now + delay
        if moment != "end" and len(known - old) >= MOST_CHECKPOINTS:  # signs were missed, which some are too short for
            return True
        if due is not None and now >= due:
            return True
        if moment != "deleting":  # which takes a few milliseconds
            time.sleep(POLL_SECONDS)
    return False


def listed(run: Path) -> list[str]:
    """Return the names in a run folder."""
    return os.listdir(run) if run.is_dir() else []


def unfinished(run: Path) -> list[str]:
    """Return the names of checkpoints that are being written or deleted."""
    return [name for name in listed(run) if name.startswith(PARTIAL_PREFIX) and "-stage1-" in name]


def is_being_written(name: str) -> bool:
    """Tell an unfinished checkpoint from a half deleted one."""
    return name.startswith(f"{PARTIAL_PREFIX}0-")


def step_of(name: str) -> int:
    """Return the step in the name of a checkpoint."""
    return stage_and_step(Path(name))[1]


def start(recipe: Path, world_size: int) -> list[subprocess.Popen[bytes]]:
    """Start a run, or go on with it, as torchrun does; every rank has a log beside the recipe."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "olmo2", "pretrain", str(recipe), "--resume"]
    processes = []
    for rank in range(world_size):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}
        torchrun = {name: str(value) for name, value in place.items()}
        torchrun |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"} | torchrun
        with open(recipe.with_name(f"{recipe.stem}-rank{rank}.log"), "ab") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT))
    return processes


def kill(processes: list[subprocess.Popen[bytes]], chance: random.Random) -> None:
    """Kill all processes, or one and somewhat later the others, or one alone; return when all have ended."""
    victims = processes if chance.random() < 0.4 else [chance.choice(processes)]
    for process in victims:
        process.kill()
    if chance.random() >= LEFT_ALONE:
        time.sleep(chance.uniform(0, SURVIVORS_SECONDS) * (len(victims) < len(processes)))
        for process in processes:
            process.kill()
    wait(processes)


def wait(processes: list[subprocess.Popen[bytes]]) -> None:
    """Return when all processes have ended. Raises Mismatch if one does not."""
    try:
        for process in processes:
            process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Mismatch("a process does not end") from None
    finally:
        for process in processes:
            process.kill()


def hashes(checkpoint: Path) -> dict[str, str]:
    """Return the hash of every file but those that depend on the run's settings; the state without run and kind."""
    state = read_json(checkpoint / TRAINER_FOLDER / STATE_FILE)
    names = set(read_json(checkpoint / CONTENTS_FILE)["files"]) - {RECIPE_FILE, f"{TRAINER_FOLDER}/{STATE_FILE}"}
    of_all_runs = str(state | {"ephemeral": None, "run": None})
    return {name: fingerprint(checkpoint / name) for name in names} | {STATE_FILE: of_all_runs}


def compare(run: Path, known: set[str], reference: Reference, tally: Tally) -> set[str]:
    """Return the names of the complete checkpoints. Raises Mismatch if one was lost or differs from the reference."""
    complete = {path.name: path for path in complete_checkpoints(run)}
    last = max(map(step_of, complete), default=0)
    for name in known - complete.keys():
        step = step_of(name)
        if step % KEEP_EVERY == 0 or step == STEPS or step >= last:
            raise Mismatch(f"{run.name}: {name} was complete and is lost")
    for name, path in complete.items():
        tally.compared += 1
        found, wanted = hashes(path), reference.hashes[step_of(name)]
        if found != wanted:
            files = sorted(file for file in found.keys() | wanted.keys() if found.get(file) != wanted.get(file))
            raise Mismatch(f"{path} differs from the uninterrupted run in {', '.join(files)}")
    return set(complete)


def compare_end(run: Path, reference: Reference) -> int:
    """Raise Mismatch if a run that has come to its end lacks something, or has too much.

    A checkpoint gets its name before the row of its step is written, so a kill between the two loses the row. Returns
    how many rows were lost so.
    """
    steps = [step_of(path.name) for path in complete_checkpoints(run)]
    if steps != list(range(KEEP_EVERY, STEPS + 1, KEEP_EVERY)):
        raise Mismatch(f"{run.name} has checkpoints of steps {steps}")
    if left := unfinished(run):
        raise Mismatch(f"{run.name} still holds {', '.join(left)}")
    losses = [(row["step"], row["loss_nats"]) for row in read_metrics(run)]
    missing = {step for step, _ in set(reference.losses) - set(losses)}
    if losses != [(step, loss) for step, loss in reference.losses if step not in missing]:
        raise Mismatch(f"{run.name}: the losses in its metrics differ or stand twice")
    if any(step % SAVE_EVERY for step in missing):
        raise Mismatch(f"{run.name}: its metrics lack steps {sorted(missing)}")
    return len(missing)


if __name__ == "__main__":
    main()
