"""A summary adds up what models and judge have done; an output of other settings is not written over."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.base.files import read_json
from olmo2.rl.ask_pool import Tally
from olmo2.rl.candidate_scores import Scored
from olmo2.rl.pair_selection import Selection
from olmo2.rl.pair_summary import Summary, require_own_output, settings_that_matter, summary_lines, write_summary
from tests.rl.pair_making import prompt_of

MADE_WITH: dict[str, Any] = {"seed": 0, "models": [{"model": "a"}]}


def summary() -> Summary:
    """A small one."""
    tallies = {"a": Tally(3, 1, 1000, 20, 1, 0.5), "b": Tally(2)}
    selection = Selection([{}, {}], Counter(gone=2, none=0), 1, Counter(a=2), Counter(b=2), 9.0, 4.0)
    scored = Scored([], {"j": Tally(8, 0, 99, 9, 0, 0.25)}, {"replies off the format at first": 1, "nothing": 0})
    return Summary.of(MADE_WITH, [prompt_of(str(number)) for number in range(4)], tallies, scored, selection)


def test_all_is_printed_and_written(tmp_path: Path) -> None:
    assert summary_lines(summary(), "pairs") == [
        "a: 3 answers, 1,000 tokens read, 20 written, 1 of untold length, 1 failed, cost 0.5000; chosen 2, rejected 0",
        "b: 2 answers, 0 tokens read, 0 written; chosen 0, rejected 2",
        "judge j: 8 replies, 99 tokens read, 9 written, cost 0.2500",
        "judge: 1 replies off the format at first",
        "cost in all 0.7500",
        "left out: 2 gone",
        "2 pairs of 4 prompts, mean rating 4.50 chosen, 2.00 rejected, 1 rated equal",
    ]
    write_summary(summary(), tmp_path)
    written = read_json(tmp_path / "summary.json")
    assert written["cost"] == 0.75
    assert written["models"]["a"]["chosen"] == 2
    assert written["dropped"] == {"gone": 2, "none": 0}


def test_settings_that_change_no_row_do_not_matter() -> None:
    settings = {"seed": 0, "work": "w", "models": [{"model": "a", "device": "cpu", "engine": {}, "price": None}]}
    assert settings_that_matter(settings) == MADE_WITH


def test_an_output_of_something_else_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "pairs.jsonl"
    require_own_output(output, tmp_path, MADE_WITH)
    with pytest.raises(UsageError, match="is a folder; name a file"):
        require_own_output(tmp_path, tmp_path, MADE_WITH)
    output.write_text("mine")
    with pytest.raises(UsageError, match="is not of this work folder"):
        require_own_output(output, tmp_path, MADE_WITH)
    write_summary(summary(), tmp_path)
    require_own_output(output, tmp_path, MADE_WITH)
    with pytest.raises(UsageError, match="was made with another seed; remove it, or choose another --output"):
        require_own_output(output, tmp_path, {**MADE_WITH, "seed": 1})
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(UsageError, match="is not valid JSON"):
        require_own_output(output, tmp_path, MADE_WITH)
