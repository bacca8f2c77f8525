"""The picture shows every number of every row where it belongs."""

import sys
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.published_rows import COLUMNS
from olmo2.eval.table_chart import draw_rows, short
from olmo2.eval.table_rows import Cell, TableRow, published_rows

MINE = TableRow(
    name="mine",
    is_published=False,
    average=Cell(),
    flop=None,
    cells={**dict.fromkeys(COLUMNS["instruct"], Cell()), "BBH": Cell(50.0, 2.0), "TQA": Cell(30.0, None, False, True)},
    notes=[],
)


def test_every_number_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    drawn: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *rest, **more: drawn.append(figure) or save(figure, *rest, **more)
    )
    draw_rows([MINE, *published_rows("instruct")], "instruct", tmp_path / "table.png")
    data = (tmp_path / "table.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 20_000
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Avg", *COLUMNS["instruct"]]
    dots = [(*line.get_xydata()[0], line.get_markerfacecolor()) for line in axes.lines if len(line.get_xydata()) == 1]
    dots = [dot for dot in dots if dot[0] in (50.0, 30.0)]
    assert [(x, y) for x, y, _ in dots] == [(50.0, 2.0), (30.0, 10.0)]  # one dot in the middle of a band
    assert dots[0][2] != "white" and dots[1][2] == "white"
    bars = [path.vertices[:, 0].tolist() for each in axes.collections for path in each.get_paths()]
    assert [50 - 2 * 1.96, 50 + 2 * 1.96] in bars and [56.5, 56.5] in bars  # an interval, and a published average
    (legend,) = drawn[0].legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["mine", *(row.name for row in published_rows("instruct")), "hollow: partial, or another setting"]


def test_a_long_name_is_cut_at_its_beginning() -> None:
    assert short("a" * 36) == "a" * 36
    assert short("runs/" + "b" * 36) == "…" + "b" * 35


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"table.png needs the package matplotlib: pip install 'olmo2\[plot\]'"):
        draw_rows([MINE], "instruct", tmp_path / "table.png")
    assert list(tmp_path.iterdir()) == []
