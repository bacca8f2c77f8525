"""Draw the losses of one or more runs as a picture."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from olmo2.base.errors import UsageError
from olmo2.base.files import atomic_file
from olmo2.base.metrics import read_metrics


def draw_losses(runs: Sequence[Path], path: Path, *, follows: Sequence[int | None] | None = None) -> None:
    """Write a PNG to `path` with training loss as lines and held-out loss as dots, over tokens seen.

    The faint line is the loss of single steps, the strong one its running mean over a tenth of the run.
    follows: for each run the index of the run that it goes on from, to start its line where that one ends, in a panel
    of its own.
    Raises UsageError where matplotlib is missing or a run has no metrics.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("a loss plot needs the package matplotlib: pip install 'olmo2[plot]'") from None
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    num_panels = 1 + any(parent is not None for parent in follows or [])
    panels = figure.subplots(1, num_panels, squeeze=False, sharey=True, width_ratios=[2, 1][:num_panels])[0]
    panels[0].set_ylabel("loss (nats per token)")
    ends: list[float] = []
    for index, run in enumerate(runs):
        rows = [row for row in read_metrics(run) if row.get("loss_nats") is not None]
        if not rows:
            raise UsageError(f"{run} has no metrics to draw")
        parent = follows[index] if follows else None
        offset = ends[parent] if parent is not None else 0.0
        tokens = [offset + row["tokens"] / 1e6 for row in rows]
        ends.append(tokens[-1])
        axes = panels[0 if parent is None else 1]
        losses = [row["loss_nats"] for row in rows]
        (line,) = axes.plot(tokens, running_mean(losses, len(rows) // 20), label=run.name, linewidth=1.6)
        axes.plot(tokens, losses, color=line.get_color(), linewidth=0.8, alpha=0.25)
        held_out = [row.get("heldout_loss_nats", math.nan) for row in rows]  # what is not a number is not drawn
        axes.plot(tokens, held_out, "o", color=line.get_color(), markersize=5)
    for axes in panels:
        axes.plot([], [], color="gray", linewidth=0.8, alpha=0.4, label="single steps")
        axes.plot([], [], "o", color="gray", markersize=5, label="held-out text")
        axes.set_xlabel("tokens seen (millions)")
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_file(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120)


def running_mean(values: Sequence[float], reach: int) -> list[float]:
    """Return the mean of each value and its neighbours up to `reach` places away on either side."""
    return [statistics.fmean(values[max(0, place - reach) : place + reach + 1]) for place in range(len(values))]
