"""Print what to expect of a training recipe on many devices: memory by part, speed, days, disk."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from olmo2.model.flops import num_parameters, total_train_flops, train_flops_per_token
from olmo2.model.sizes import ModelConfig
from olmo2.parallel.hardware import GIGA, TERA, Hardware
from olmo2.parallel.memory import Memory, peak_memory
from olmo2.parallel.speed import step_time
from olmo2.parallel.workload import Workload
from olmo2.train.consequences import length_of, step_plan
from olmo2.train.recipe import TrainRecipe
from olmo2.train.remedies import Changes, changed, remedies

WorkloadOf = Callable[[TrainRecipe, ModelConfig, int, Hardware], Workload]
FILE_COLUMNS = 160  # of a table that is written to a file or a pipe
USABLE_SHARE = 0.95  # of a device's memory: the allocator loses some to fragments
MEANINGS = {
    "parameters": "float32; frozen ones in the dtype of the products",
    "optimizer": "two moments of each parameter that is trained",
    "gradients": "float32",
    "weights": "gathered or copied for the products",
    "activations": "kept from forward to backward",
    "logits": "of a chunk, and the output matrix's gradient",
    "working": "of the backward under way",
    "runtime": "driver, libraries, communication buffers (allowed for)",
}


def forecast(
    recipe: TrainRecipe, config: ModelConfig, devices: int, hardware: Hardware, workload_of: WorkloadOf
) -> None:
    """Print the plan of a recipe for `devices` of a kind."""

    def memory_of(other: TrainRecipe) -> Memory:
        return peak_memory(workload_of(other, config, devices, hardware), hardware)

    work, memory = workload_of(recipe, config, devices, hardware), memory_of(recipe)
    grid, console = work.grid, Console(width=None if sys.stdout.isatty() else FILE_COLUMNS)
    console.print(
        f"{num_parameters(config):,} parameters on {devices} x {hardware.name}: replicate {grid.replicate} x shard "
        f"{grid.shard} x context {grid.context} x tensor {grid.tensor}; {work.micro_batch_sequences} sequences of "
        f"{work.seq_len} at a time, {work.num_micro_batches:g} times a step\n",
        highlight=False,
    )
    if work.lora:
        console.print(f"adapters of {work.trained_parameters:,} parameters are trained", highlight=False)
    console.print(memory_table(memory, hardware))
    for line in verdict(recipe, devices, memory_of, hardware):
        console.print(line, highlight=False, soft_wrap=True)
    console.print()
    title = "what to expect" if fits(memory, hardware) else "what to expect, if it fitted"
    facts = speed_facts(recipe, config, work, hardware) | disk_facts(recipe, work)
    console.print(facts_table(title, facts))


def memory_table(memory: Memory, hardware: Hardware) -> Table:
    """Return the memory of a device by part, in GB."""
    table = Table("memory of a device", "GB", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, size in memory.parts.items():
        if size:
            table.add_row(name, f"{size / GIGA:.2f}", MEANINGS[name])
    table.add_row("all", f"{memory.total / GIGA:.2f}", f"at its fullest: {memory.moment}")
    table.add_row(f"{hardware.name} has", f"{hardware.memory_bytes / GIGA:.2f}", "")
    return table


def fits(memory: Memory, hardware: Hardware) -> bool:
    """Tell whether the usable part of a device's memory is enough."""
    return memory.total <= USABLE_SHARE * hardware.memory_bytes


def verdict(
    recipe: TrainRecipe, devices: int, memory_of: Callable[[TrainRecipe], Memory], hardware: Hardware
) -> list[str]:
    """Say whether the recipe fits and, if not, what does not and which settings would make it fit."""
    memory, limit = memory_of(recipe), USABLE_SHARE * hardware.memory_bytes
    if fits(memory, hardware):
        return [f"It fits, with {USABLE_SHARE:.0%} of the memory taken for usable."]
    largest = max(memory.parts, key=lambda name: memory.parts[name])
    lines = [
        f"It does not fit: {memory.total / GIGA:.1f} GB are needed and {limit / GIGA:.1f} GB usable "
        f"({USABLE_SHARE:.0%}); the largest part is {largest}, {memory.parts[largest] / GIGA:.1f} GB."
    ]

    def described(changes: Changes) -> str:
        settings = " ".join(f"--{name}={value}" for name, value in changes.items())
        return f"  {settings}   ({memory_of(changed(recipe, changes)).total / GIGA:.1f} GB)"

    singles, combined = remedies(recipe, devices, lambda other: memory_of(other).total, limit)
    if singles:
        return [*lines, "Any one of these makes it fit, the cheapest first:", *map(described, singles)]
    if combined:
        return [*lines, "No single setting is enough; these together make it fit:", described(combined)]
    return [*lines, "No setting makes it fit: use more devices, devices with more memory, or a smaller model."]


def speed_facts(recipe: TrainRecipe, config: ModelConfig, work: Workload, hardware: Hardware) -> dict[str, str]:
    """Return tokens a second, the share of the peak, where a step's time goes, and how long the stage takes."""
    devices, batch = work.grid.world_size, work.step_sequences * work.grid.batch_ranks * work.seq_len
    time = step_time(work, hardware)
    per_device = batch / devices / time.total
    flops, a_weight = train_flops_per_token(config, work.seq_len, work.lora), 6 if work.lora is None else 4
    shares = ", ".join(f"{name} {seconds / time.total:.0%}" for name, seconds in time.parts.items())
    facts = {
        "tokens/s": f"{per_device:,.0f} a device, {per_device * devices:,.0f} in all",
        "share of the bf16 peak": f"{per_device * flops / hardware.bf16_peak:.1%}",
        "seconds a step": f"{time.total:.3g} ({shares})",
        f"FLOPs of a token ({a_weight} a weight + attention)": f"{flops:.4g}",
    }
    if recipe.run.epochs is not None:
        return facts | {"days": f"as long as the data are, {recipe.run.epochs:g} times"}
    steps, total = length_of(recipe, step_plan(recipe, None, work.seq_len))
    days = total / batch * time.total / 86_400
    if work.lora is None:
        facts["FLOPs in all (6 x parameters x tokens)"] = f"{total_train_flops(config, total):.4g}"
    return facts | {
        "days": f"{days:,.{'0f' if days >= 100 else '3g'}} for {steps:,} steps, without evaluation and saving",
        "device hours": f"{days * 24 * devices:,.0f}",
    }


def disk_facts(recipe: TrainRecipe, work: Workload) -> dict[str, str]:
    """Return the size of a checkpoint, and how many there will be."""
    num_saved = num_parameters(work.config) if work.lora is None else work.trained_parameters
    size, what = num_saved * (4 + 2 * work.state_bytes), "weights" if work.lora is None else "adapters"
    facts = {"a checkpoint on disk": f"{size / GIGA:,.3g} GB (float32 {what}, two moments)"}
    every = recipe.keep.save_every_steps
    if recipe.run.epochs is not None:
        return facts
    steps, _ = length_of(recipe, step_plan(recipe, None, work.seq_len))
    kept = 1 if every is None else -(-steps // every)
    ephemeral = " and one that is replaced" if recipe.keep.ephemeral_every_steps else ""
    return facts | {"checkpoints": f"{kept:,} kept{ephemeral}, {kept * size / TERA:,.3g} TB"}


def facts_table(title: str, facts: dict[str, str]) -> Table:
    """Return facts by name."""
    table = Table(title, "", box=None, pad_edge=False)
    for name, value in facts.items():
        table.add_row(name, value)
    return table
