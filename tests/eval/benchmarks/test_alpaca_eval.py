"""AlpacaEval 2: instructions as OLMES asks them, preferences from replies of our own, and published annotations."""

import json
import math
from pathlib import Path

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.benchmarks.alpaca_eval import TASKS, score_annotations, summarise
from olmo2.eval.sources import Source
from olmo2.eval.task import Judged, JudgeReply
from tests.eval.benchmarks.olmes_requests import FROZEN, assert_asks_as_olmes, hashes, load, write_rows

ROWS = [
    {"instruction": f"Say {number}.\n", "output": f"base {number}", "generator": "gpt4_1106_preview", "dataset": "own"}
    for number in range(6)
]
TEMPLATE = "<|im_start|>user\n{instruction}\nm: {output_1}\nM: {output_2}\n<|im_end|>\n"
WINS = (0.9, 0.2, 0.5, 0.7, 0.6, 0.1)
ESSENTIAL = "length_controlled_win_rate"


@pytest.fixture
def own(data: Path) -> Path:
    """Instructions of our own with a judge's text of our own."""
    write_rows(data, "alpaca_eval/alpaca_eval_gpt4_baseline", ROWS)
    (data / "judges").mkdir()
    (data / "judges" / "alpaca_eval.txt").write_text(TEMPLATE, encoding="utf-8")
    return data


def reply(item: Judged, response: str, win: float) -> JudgeReply:
    """The reply of a judge that finds the response better with probability `win`, by the order it was asked in."""
    (turn,) = item.ask(response).prompt.turns
    is_first = turn[1].index(f": {response}") < turn[1].index(f": {item.answer}")
    first = win if is_first else 1 - win
    return JudgeReply("m", {"m": math.log(first), "M": math.log(1 - first), "The": -9.0})


def test_real_instructions_are_asked_as_olmes_asks_them(real: Path) -> None:
    items, notes = load("alpaca_eval", real)
    assert hashes(TASKS[0], items, [None] * len(items)) == FROZEN["real"]["alpaca_eval"]
    assert notes == ["without the published text judges/alpaca_eval.txt (olmo2 fetch gets it)"]


def test_instructions_of_our_own(own: Path) -> None:
    items, notes = load("alpaca_eval", own)
    assert_asks_as_olmes("alpaca_eval", items)
    assert notes == []
    assert [(item.doc_id, item.answer) for item in items] == [(n, f"base {n}") for n in range(6)]
    question = items[0].ask("mine")
    assert (question.max_new_tokens, question.top_logprobs) == (1, 5)
    assert {line[3:] for line in question.prompt.turns[0][1].split("\n")[-2:]} == {"base 0", "mine"}
    assert question.prompt.turns[0][1].startswith("Say 0.\n\nm: ")


def test_rates_by_hand(own: Path) -> None:
    """The wins add up to 3; three are above a half and one is a draw. Without files, nothing is published."""
    pytest.importorskip("sklearn")
    items, _ = load("alpaca_eval", own)
    scores = {
        item.doc_id: item.grade("my answer", reply(item, "my answer", win))
        for item, win in zip(items, WINS, strict=True)
    }
    assert [scores[place]["win_rate"] for place in range(6)] == pytest.approx(WINS)
    assert scores[0] == {"win_rate": pytest.approx(0.9), "characters": 9, "baseline_characters": 6}
    found = summarise(Source(own), items, scores)
    assert found.scores["win_rate"].value == pytest.approx(0.5)
    assert found.scores["discrete_win_rate"].value == pytest.approx(3.5 / 6)
    assert found.scores["characters"].value == 9
    assert 0 < found.scores[ESSENTIAL].value < 1 and found.scores[ESSENTIAL].num_items == 6
    assert len(found.notes) == 2 and "difficulty" in found.notes[0] and "gamed" in found.notes[1]


def test_a_model_that_is_the_baseline_gets_a_half(own: Path) -> None:
    items, _ = load("alpaca_eval", own)
    scores = {item.doc_id: item.grade(item.answer, JudgeReply("?", {})) for item in items}
    found = summarise(Source(own), items, scores)
    assert found.scores[ESSENTIAL].value == found.scores["win_rate"].value == 0.5


def test_few_judged_pairs_have_the_plain_win_rate(own: Path) -> None:
    items, _ = load("alpaca_eval", own)
    scores = {item.doc_id: item.grade("mine", reply(item, "mine", 0.25)) for item in items[:4]}
    found = summarise(Source(own), items, scores)
    assert found.scores[ESSENTIAL].value == pytest.approx(0.25)
    assert found.notes == ("fewer than 5 judged pairs: the win rate is not length-controlled",)


def test_difficulties_that_lack_an_instruction_are_not_used(own: Path) -> None:
    pytest.importorskip("sklearn")
    file = own / "alpaca_eval" / "instruction_difficulty.csv"
    file.write_text(",instruction_difficulty\n0,0.5\n1,0.25\n", encoding="utf-8")
    items, _ = load("alpaca_eval", own)
    scores = {item.doc_id: item.grade("mine", reply(item, "mine", win)) for item, win in zip(items, WINS, strict=True)}
    assert summarise(Source(own), items, scores).notes[0] == "the file of difficulties does not have all instructions"


def test_a_reply_that_prefers_nothing_is_no_score(own: Path) -> None:
    item = load("alpaca_eval", own)[0][0]
    with pytest.raises(ValueError, match="the judge named neither m nor M"):
        item.grade("mine", JudgeReply("Both", {"Both": -0.1}))


def test_without_its_text_there_is_nothing_to_ask_a_judge(own: Path) -> None:
    (own / "judges" / "alpaca_eval.txt").unlink()
    items, notes = load("alpaca_eval", own)
    assert notes == ["without the published text judges/alpaca_eval.txt (olmo2 fetch gets it)"]
    with pytest.raises(ValueError, match=r"without judges/alpaca_eval.txt .*olmo2 fetch alpaca_eval"):
        items[0].ask("mine")


def test_annotations_of_instructions_in_any_order(own: Path) -> None:
    """Preferences 1 to 2, of which the second is a draw."""
    pytest.importorskip("sklearn")
    rows = [
        {
            "instruction": ROWS[place]["instruction"],
            "output_1": ROWS[place]["output"],
            "output_2": "mine" * place,
            "generator_1": "gpt4_1106_preview",
            "generator_2": "mine",
            "preference": 1 + place / 10 if place != 5 else 1.5,
        }
        for place in (3, 5, 0, 4, 1)
    ]
    file = own / "annotations.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    found, annotations = score_annotations(file, Source(own))
    assert found.scores["win_rate"].value == pytest.approx((0.3 + 0.5 + 0.0 + 0.4 + 0.1) / 5)
    assert found.scores["discrete_win_rate"].value == pytest.approx(0.5 / 5)
    assert found.scores["characters"].value == 10  # 4 * (3 + 5 + 0 + 4 + 1) / 5, rounded down
    assert annotations.model == "mine"
    file.write_text(json.dumps([{**rows[0], "instruction": "Say nothing."}, *rows[1:]]), encoding="utf-8")
    with pytest.raises(UsageError, match="1 judged instructions of mine are not in the evaluation set"):
        score_annotations(file, Source(own))


def test_published_annotations(real: Path, shared: Path) -> None:
    """The length-controlled rate is refitted without the published gamed rows, which are not at hand."""
    pytest.importorskip("sklearn")
    folder = shared / "data" / "alpaca_eval"
    published = json.loads((folder / "dev_expected.json").read_text(encoding="utf-8"))["claude-2"]["published"]
    found, annotations = score_annotations(folder / "annotations_claude-2.json.gz", Source(real))
    assert len(annotations.preferences) == published["n_total"]
    assert found.scores["win_rate"].value * 100 == pytest.approx(published["win_rate"], abs=1e-6)
    assert found.scores["discrete_win_rate"].value * 100 == pytest.approx(published["discrete_win_rate"], abs=1e-6)
    assert found.scores[ESSENTIAL].value * 100 == pytest.approx(published["length_controlled_winrate"], abs=2)
    assert "difficulties of instruction_difficulty_reconstructed.csv, not the published ones" in found.notes
