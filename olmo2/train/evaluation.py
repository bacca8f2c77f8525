"""What is measured now and then while a model trains: the loss on held-out text, by domain too, and benchmarks.

heldout_loss_nats, heldout_bits_per_byte      of all held-out text, every token counting the same
heldout/DOMAIN/loss_nats, .../bits_per_byte   of a domain
eval/TASK/METRIC                              of a benchmark
"""

from collections.abc import Callable, Sequence

from olmo2.base.errors import RunError, UsageError
from olmo2.data.batch import Batch
from olmo2.data.token_files import open_tokens, require_tokenizer
from olmo2.data.windows import Windows
from olmo2.eval.heldout import HeldOut, heldout_batches, heldout_loss, pooled
from olmo2.eval.in_loop import InLoopTask, open_task, score_in_loop
from olmo2.eval.loading import data_folder
from olmo2.eval.task_list import tasks_of
from olmo2.model.transformer import Transformer
from olmo2.parallel.ranks import Ranks
from olmo2.tokenizer.tokenizer import Tokenizer
from olmo2.train.recipe import HeldOutSettings, TrainRecipe

Evaluate = Callable[[Transformer], dict[str, float]]


def evaluation_of(recipe: TrainRecipe, tokenizer: Tokenizer, seq_len: int, ranks: Ranks) -> Evaluate:
    """Return the function that measures what recipe.heldout names, if anything; all ranks call it together.

    What it will look at is read and checked now: an evaluation cannot fail after hours of training.
    """
    settings, micro_batch_sequences = recipe.heldout, recipe.run.micro_batch_sequences
    if settings is None:
        return lambda model: {}
    texts = open_texts(settings, tokenizer, seq_len, micro_batch_sequences)
    tasks = open_tasks(settings, tokenizer, seq_len, micro_batch_sequences, ranks)
    token_bytes = tokenizer.token_bytes()

    def evaluate(model: Transformer) -> dict[str, float]:
        parts = {name: heldout_loss(model, batches, token_bytes, ranks) for name, batches in texts.items()}
        metrics = loss_metrics("heldout_", pooled(parts.values())) if parts else {}
        for name in settings.domains:
            metrics |= loss_metrics(f"heldout/{name}/", parts[name])
        for opened in tasks:
            scores = score_in_loop(model, opened, ranks)
            metrics |= {f"eval/{opened.task.name}/{metric}": score for metric, score in scores.items()}
        return metrics

    return evaluate


def loss_metrics(prefix: str, held_out: HeldOut) -> dict[str, float]:
    """Return the loss on some text under names that begin with `prefix`."""
    return {f"{prefix}loss_nats": held_out.loss_nats, f"{prefix}bits_per_byte": held_out.bits_per_byte}


def open_texts(
    settings: HeldOutSettings, tokenizer: Tokenizer, seq_len: int, micro_batch_sequences: int
) -> dict[str, Sequence[Batch]]:
    """Read the held-out text: of every domain by name, and what belongs to none by the name "". Raises UsageError."""
    texts: dict[str, Sequence[Batch]] = {}
    for name, paths in {"": settings.paths, **settings.domains}.items():
        if paths:
            try:
                files = open_tokens(paths, settings.dtype)
                require_tokenizer(files, tokenizer.fingerprint)
                windows = Windows(files, seq_len=seq_len, vocab_size=tokenizer.vocab_size, repetition_filter=False)
                texts[name] = heldout_batches(
                    windows, batch_sequences=micro_batch_sequences, max_tokens=settings.max_tokens
                )
            except UsageError as error:
                raise UsageError(f"heldout.{f'domains.{name}' if name else 'paths'}: {error}") from None
    return texts


def open_tasks(
    settings: HeldOutSettings, tokenizer: Tokenizer, seq_len: int, micro_batch_sequences: int, ranks: Ranks
) -> list[InLoopTask]:
    """Read the benchmarks; rank 0 alone downloads those from the hub. Raises UsageError or RunError.

    A batch is no larger than a micro-batch of training, and what is longer than its sequences loses its beginning.
    """
    is_download = bool(settings.tasks) and settings.task_data is None
    if is_download and not ranks.is_main:
        ranks.wait_for_main()
    try:
        data = data_folder(settings.task_data)
        opened = [
            open_task(
                task,
                data,
                tokenizer,
                limit=settings.task_limit,
                context=seq_len,
                batch_tokens=micro_batch_sequences * seq_len,
                multiple=2 * ranks.grid.context * ranks.grid.tensor if ranks.positions.is_split else 1,
            )
            for task in tasks_of(None, settings.tasks)
        ]
    except (UsageError, RunError) as error:
        told = str(error).replace("--data", "--heldout.task_data").replace("--context_tokens", "--data.seq_len")
        raise type(error)(f"heldout.tasks: {told}") from None
    if is_download and ranks.is_main:
        ranks.wait_for_main()
    for each in opened:
        for note in each.notes:
            print(f"{each.task.name}: {note}")
    return opened
