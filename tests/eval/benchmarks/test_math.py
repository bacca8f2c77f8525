"""MATH: prompts as OLMES renders them, from one file or seven, and what responses are worth."""

from pathlib import Path

import pytest

from olmo2.eval.benchmarks.math import SUBJECTS
from olmo2.eval.task_list import find_task
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

NAMES = dict(zip(SUBJECTS, ("Algebra", "Counting & Probability", "Geometry"), strict=False))
ROWS = [
    {
        "problem": f"What is half of ${number}$, in {subject}?\n\nExplain.",
        "level": "Level 1",
        "type": NAMES.get(subject, subject.replace("_", " ").title()),
        "solution": rf"It is $\frac{{{number}}}{{2}}$, so $\boxed{{\frac{{{number}}}{{2}}}}$.",
    }
    for number, subject in enumerate(SUBJECTS, 1)
]


def test_real_problems_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("math", real)
    assert hashes(find_task("math"), items, [None] * len(items)) == FROZEN["real"]["math"]
    assert notes == []
    assert sorted({item.group for item in items})[:2] == ["Algebra", "Counting & Probability"]


def test_problems_of_our_own_in_one_file_or_one_for_each_subject(tmp_path: Path) -> None:
    write_rows(tmp_path / "one", "math/test", ROWS)
    for subject, row in zip(SUBJECTS, ROWS, strict=True):
        write_rows(tmp_path / "seven", f"math/{subject}/test", [row])
    for form in ("one", "seven"):
        items, notes = load("math", tmp_path / form)
        assert_asks_as_olmes("math", items)
        assert [(item.doc_id, item.group) for item in items] == [(n, row["type"]) for n, row in enumerate(ROWS)]
        assert notes == ["examples written by us instead of the published Minerva:MATH (olmo2 fetch gets those)"]


@pytest.mark.parametrize(
    ("response", "strict", "flex"),
    [
        (r"Final Answer: The final answer is $\frac12$. I hope it is correct.", 1, 1),
        (r"Final Answer: The final answer is $0.5$. I hope it is correct.", 1, 1),
        (r"So it is $\boxed{0.5}$.", 0, 1),
        (r"So it is $\frac{1}{2}$.", 0, 1),
        (r"Final Answer: The final answer is $2$. I hope it is correct.", 0, 0),
        ("", 0, 0),
    ],
)
def test_grades(data: Path, response: str, strict: float, flex: float) -> None:
    pytest.importorskip("sympy")
    pytest.importorskip("math_verify")
    write_rows(data, "math/test", ROWS[:1])
    scores = load("math", data)[0][0].grade(response)
    assert (scores["exact_match"], scores["exact_match_flex"], scores["was_stopped"]) == (strict, flex, 0)
