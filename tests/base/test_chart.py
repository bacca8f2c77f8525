"""Charts show every peak, label their axes with round numbers, and are whole HTML."""

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from olmo2.base.chart import SIZE, Axis, Chart, Curve, Mark, axis_of, compact, draw, labelled, points, tick_texts


def curve(y: list[float], x: list[float] | None = None, **more: bool) -> Curve:
    return Curve("curve", "main", np.array(x or range(1, len(y) + 1), dtype=float), np.array(y), **more)


def parse(html: str) -> ElementTree.Element:
    """The figure as a tree; an error if a tag is not closed or a text not escaped."""
    return ElementTree.fromstring(html)


def test_no_peak_is_lost_among_a_million_points() -> None:
    x, y = np.linspace(0, SIZE, 1_000_000), np.full(1_000_000, 500.0)
    y[123_456], y[654_321] = 990.0, 10.0
    corners = points(x, y)
    assert len(corners) < 2 * SIZE
    heights = [height for _, height in corners]
    assert min(heights) == SIZE - 990 and max(heights) == SIZE - 10
    assert [int(at) for at, height in corners if height == SIZE - 990] == [123]


def test_few_points_are_all_drawn() -> None:
    assert points(np.array([0.0, 12.34, 1000.0]), np.array([0.0, 500.0, 1000.0])) == [
        (0.0, 1000.0),
        (12.3, 500.0),
        (1000.0, 0.0),
    ]


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (2.28, 2.74, [2.3, 2.4, 2.5, 2.6, 2.7]),
        (1, 99_999, [20_000, 40_000, 60_000, 80_000]),
        (0, 3.3e-4, [0, 1e-4, 2e-4, 3e-4]),
    ],
)
def test_ticks_are_round(low: float, high: float, wanted: list[float]) -> None:
    assert Axis(low, high).ticks(5) == pytest.approx(wanted)


def test_ticks_of_a_logarithmic_axis() -> None:
    assert Axis(0.15, 12, is_log=True).ticks(6) == pytest.approx([0.2, 0.5, 1, 2, 5, 10])
    assert Axis(0.9, 1.4e6, is_log=True).ticks(6) == pytest.approx([10.0**power for power in range(7)])
    assert float(Axis(0.1, 10, is_log=True).place(1.0)) == pytest.approx(SIZE / 2)


def test_numbers_are_written_shortly() -> None:
    assert tick_texts([2.3, 2.4], None) == ["2.3", "2.4"]
    assert tick_texts([0, 1e-4, 2e-4], None) == ["0", "0.0001", "0.0002"]
    assert tick_texts([0.2, 5, 100], None) == ["0.2", "5", "100"]
    assert tick_texts([20_000, 40_000], None) == ["20,000", "40,000"]
    assert [compact(value) for value in (12, 1500, 2e6, 3.9e12)] == ["12", "1.5k", "2M", "3.9T"]


@pytest.mark.parametrize("values", [[], [math.nan], [2.0], [2.0, 2.0], [0.0], [-1.0, 0.0]])
@pytest.mark.parametrize("is_log", [False, True])
def test_axes_of_odd_values(values: list[float], is_log: bool) -> None:
    axis = axis_of(np.array(values), is_log=is_log)
    assert axis.low < axis.high and axis.ticks(5)
    parse(draw(Chart("odd", "", [curve(values)], is_log=is_log), (1, 2), "steps"))


def test_marks_and_labels() -> None:
    marks = [
        Mark("resumed", 3, None, "a new process"),
        Mark("spike", 5, 100.0, "step 5: <loss> & more", "5"),
        Mark("spike", 5.1, 3.0, "step 5.1", "5.1"),
        Mark("spike", 10, math.nan, "step 10", "10"),
    ]
    chart = Chart(
        "A & B", "nats", [curve([1.0, 2.0, 3.0] * 4)], marks, [("spike", "spike")], y_range=(0, 4), note="<n>"
    )
    figure = parse(draw(chart, (1, 12), "steps"))
    titles = [title.text for title in figure.iter("title")]
    assert titles == ["a new process", "step 5: <loss> & more", "step 5.1", "step 10"]
    shown = [span.text for span in figure.iter("span") if "label" in span.get("class", "").split()]
    assert shown == ["5", "10"]  # the label of 5.1 would lie upon that of 5
    spots = [path.get("d") for path in figure.iter("path") if "dot" in path.get("class", "").split()]
    heights = [float(re.fullmatch(r"M\S+ (\S+)h0", str(spot))[1]) for spot in spots]  # type: ignore[index]
    assert heights[0] == pytest.approx(15) and heights[2] == pytest.approx(985)  # outside = at the edge
    assert figure.find(".//svg").get("aria-label") == "A & B"  # type: ignore[union-attr]


def test_labels_on_narrow_screens() -> None:
    marks = [Mark("spike", at, 1.0, "", str(at)) for at in (500, 600, 700)]
    assert [(mark.label, room) for mark, room in labelled(marks, Axis(0, 1000))] == [
        ("500", True),
        ("600", False),
        ("700", True),
    ]


def test_one_point_is_a_dot() -> None:
    figure = parse(draw(Chart("one", "", [curve([2.0])]), (1, 2), "steps"))
    assert any(path.get("class") == "dot main" for path in figure.iter("path"))
