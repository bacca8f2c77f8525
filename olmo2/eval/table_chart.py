"""Draw a table: a band for every column, with evaluated models as dots and published ones as upright lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from olmo2.base.errors import UsageError
from olmo2.base.files import atomic_file
from olmo2.eval.published_rows import COLUMNS, Suite
from olmo2.eval.table_rows import Cell, TableRow

COLORS = ("#c8102e", "#0072b2", "#d98200", "#009e73", "#7b3294", "#56b4e9", "#a6611a", "#e377c2")
SHAPES = "osD^vPX"  # seven, so that with eight colours no pair repeats early
PUBLISHED_GREYS = ("#c4c4c4", "#949494", "#626262", "#1e1e1e")  # by size
MARGIN = 1.5  # percent beside 0 and 100, so that no dot is cut
BAND = 0.76  # of the distance between columns
ERRORS_TO_EITHER_SIDE = 1.96  # a 95% interval
AVERAGE = "Avg"
LONGEST_NAME = 36


def draw_rows(rows: Sequence[TableRow], suite: Suite, path: Path) -> None:
    """Write a PNG of all rows, with 95% intervals where standard errors are known.

    A number that must not stand for the published benchmark is a hollow dot.
    Raises UsageError where matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(f"{path} needs the package matplotlib: pip install 'olmo2[plot]'") from None
    evaluated = [row for row in rows if not row.is_published]
    published = [row for row in rows if row.is_published]
    bands = [AVERAGE, *COLUMNS[suite]]
    figure = Figure(figsize=(11, 0.8 + len(bands) * max(0.42, 0.17 * len(evaluated) + 0.14)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place in range(len(bands)):
        axes.axhspan(place - BAND / 2, place + BAND / 2, color="#f4f4f2", linewidth=0, zorder=0)
        if all(there != place for row in evaluated for there, _, _ in numbers(row, bands)):
            axes.text(0, place, " no number", color="#8a8a8a", fontsize=7, va="center", zorder=1)
    for index, row in enumerate(evaluated):
        offset = BAND * ((index + 0.6) / (len(evaluated) + 0.2) - 0.5)
        draw_evaluated(axes, row, bands, offset, COLORS[index % len(COLORS)], SHAPES[index % len(SHAPES)])
    for index, row in enumerate(published):
        draw_published(axes, row, bands, PUBLISHED_GREYS[index % len(PUBLISHED_GREYS)])
    if any(not cell.is_comparable for row in evaluated for cell in row.cells.values() if cell.percent is not None):
        axes.plot([], [], "o", color="#444444", markerfacecolor="white", label="hollow: partial, or another setting")
    axes.set_yticks(range(len(bands)), bands)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(bands) - 0.5, -0.5)  # the first column on top
    axes.set_xlim(-MARGIN, 100 + MARGIN)
    axes.set_title(f"The {suite} table" + (" beside OLMo 2's published rows" if published else ""), loc="left")
    axes.set_xlabel("score (percent), with 95% intervals")
    axes.grid(axis="x", alpha=0.35)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelspacing=0.7)
    with atomic_file(path, "wb") as file:
        figure.savefig(file, format="png", dpi=150)


def short(name: str) -> str:
    """Return the end of a name that is too long for a legend, as names of folders may be."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def numbers(row: TableRow, bands: Sequence[str]) -> list[tuple[int, Cell, float]]:
    """Return the numbers that a row has: the place of the band, the cell, its percent."""
    cells = {AVERAGE: row.average, **row.cells}
    found = [(place, cells[band]) for place, band in enumerate(bands)]
    return [(place, cell, cell.percent) for place, cell in found if cell.percent is not None]


def draw_published(axes: Any, row: TableRow, bands: Sequence[str], color: str) -> None:
    """Draw a published model as one upright line in every band."""
    found = numbers(row, bands)
    axes.vlines(
        [percent for _, _, percent in found],
        [place - BAND / 2 for place, _, _ in found],
        [place + BAND / 2 for place, _, _ in found],
        color=color,
        linewidth=2.5,
        label=short(row.name),
        zorder=2,
    )


def draw_evaluated(axes: Any, row: TableRow, bands: Sequence[str], offset: float, color: str, shape: str) -> None:
    """Draw an evaluated model as one dot in every band, `offset` bands below its middle."""
    axes.plot([], [], shape, color=color, label=short(row.name))
    for place, cell, percent in numbers(row, bands):
        error = cell.standard_error_percent
        axes.errorbar(
            percent,
            place + offset,
            xerr=None if error is None else ERRORS_TO_EITHER_SIDE * error,
            fmt=shape,
            color=color,
            markerfacecolor=color if cell.is_comparable else "white",
            markersize=6,
            elinewidth=1.6,
            capsize=2.5,
            zorder=3,
        )
