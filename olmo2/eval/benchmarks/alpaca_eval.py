"""AlpacaEval 2 (arXiv 2404.04475): 805 instructions; a judge says whose response is better, GPT-4's or the model's."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from olmo2.eval.annotation_file import Annotations, read_annotations
from olmo2.eval.length_controlled import (
    NUM_FOLDS,
    GamedRows,
    length_controlled_win_rate,
    read_difficulty,
    read_gamed_rows,
)
from olmo2.eval.preference_judge import ResponsePair, read_judge_template
from olmo2.eval.rendering import one_turn
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.statistics import Estimate
from olmo2.eval.task import AnyItem, Judged, JudgeQuestion, JudgeReply, Scores, Summary, Task, Turn
from olmo2.eval.win_rate import win_rate

ROWS = Rows(
    "tatsu-lab/alpaca_eval",
    "alpaca_eval_gpt4_baseline",
    "eval",
    ("alpaca_eval/alpaca_eval_gpt4_baseline", "alpaca_eval/gpt4_1106_preview_model_outputs"),
    need=("instruction", "output"),
)
JUDGE_TEXT = "judges/alpaca_eval.txt"
GAMED_FILE = "alpaca_eval/df_gamed.csv"
DIFFICULTY_FILES = (
    "alpaca_eval/instruction_difficulty.csv",
    "alpaca_eval/instruction_difficulty_reconstructed.csv",
)
BASELINE = "gpt4_1106_preview"


def load(source: Source) -> list[Judged]:
    """Return the instructions."""
    text = source.text(JUDGE_TEXT)
    template = () if text is None else read_judge_template(text)
    return [item(doc_id, row, template) for doc_id, row in enumerate(source.rows(ROWS))]


def item(doc_id: int, row: Row, template: tuple[Turn, ...]) -> Judged:
    """Return an instruction with its judge's question."""
    instruction, baseline = row["instruction"], row["output"]
    return Judged(
        doc_id,
        instruction,
        baseline,
        one_turn(instruction),
        partial(ask, instruction=instruction, baseline=baseline, template=template),
        partial(grade, instruction=instruction, baseline=baseline),
    )


def ask(response: str, *, instruction: str, baseline: str, template: tuple[Turn, ...]) -> JudgeQuestion:
    """Return what the judge is asked about a response. Raises ValueError without the judge's text."""
    if not template:
        raise ValueError(f"without {JUDGE_TEXT} there is nothing to ask a judge; get it with olmo2 fetch alpaca_eval")
    return ResponsePair(instruction, baseline, response).question(template)


def grade(response: str, reply: JudgeReply, *, instruction: str, baseline: str) -> Scores:
    """Return how far the response is preferred, 0 to 1, and the lengths of both."""
    preference = ResponsePair(instruction, baseline, response).preference(reply.first_token)
    return {"win_rate": preference - 1, "characters": len(response), "baseline_characters": len(baseline)}


def summarise(source: Source, items: Sequence[AnyItem], scores: Mapping[int, Scores]) -> Summary:
    """Return the win rate at equal length, and the one that counts wins and draws alone."""
    places = list(scores)
    preferences = [scores[place]["win_rate"] + 1 for place in places]
    lengths = [int(scores[place]["characters"]) for place in places]
    baseline_lengths = [int(scores[place]["baseline_characters"]) for place in places]
    return summary_of(source, places, preferences, lengths, baseline_lengths)


def summary_of(
    source: Source,
    places: Sequence[int],
    preferences: Sequence[float],
    lengths: Sequence[int],
    baseline_lengths: Sequence[int],
) -> Summary:
    """Return all rates of judged pairs whose instructions are at `places` in the data."""
    rate = win_rate(preferences, lengths)
    scores = {
        "win_rate": Estimate(rate.value, rate.standard_error, rate.num_items),
        "discrete_win_rate": Estimate(rate.discrete, None, rate.num_items),
        "characters": Estimate(rate.average_length, None, rate.num_items),
    }
    if len(places) < NUM_FOLDS:
        scores["length_controlled_win_rate"] = scores["win_rate"]
        return Summary(scores, (f"fewer than {NUM_FOLDS} judged pairs: the win rate is not length-controlled",))
    gamed = read_gamed(source)
    difficulty, notes = read_difficulties(source, gamed)
    if difficulty is not None and not difficulty.keys() >= set(places):
        difficulty, notes = None, ("the file of difficulties does not have all instructions",)
    controlled = length_controlled_win_rate(
        preferences,
        lengths,
        baseline_lengths,
        None if difficulty is None else [difficulty[place] for place in places],
        gamed,
    )
    scores["length_controlled_win_rate"] = Estimate(controlled.value, controlled.standard_error, controlled.num_items)
    return Summary(scores, (*notes, *controlled.notes), controlled.warnings)


def read_gamed(source: Source) -> GamedRows | None:
    """Return the published rows of gamed baselines, if they are there."""
    file = source.find(GAMED_FILE)
    return None if file is None else read_gamed_rows(file)


def read_difficulties(source: Source, gamed: GamedRows | None) -> tuple[Mapping[int, float] | None, tuple[str, ...]]:
    """Return the difficulty of every instruction, and what is to be said of where it comes from."""
    if gamed is not None:
        return gamed.difficulty, ()
    for name in DIFFICULTY_FILES:
        file = source.find(name)
        if file is not None:
            published = name == DIFFICULTY_FILES[0]
            return read_difficulty(file), () if published else (f"difficulties of {file.name}, not the published ones",)
    return None, ()


def score_annotations(file: Path, source: Source) -> tuple[Summary, Annotations]:
    """Return the rates of a file of AlpacaEval's annotations."""
    annotations = read_annotations(file, baseline=BASELINE)
    places = annotations.positions_in([row["instruction"] for row in source.rows(ROWS)])
    summary = summary_of(
        source, places, annotations.preferences, annotations.lengths_model, annotations.lengths_baseline
    )
    return summary, annotations


TASKS = (
    Task(
        "alpaca_eval",
        1,
        "AlpacaEval 2, 805 instructions, length-controlled win rate against GPT-4 (needs a judge)",
        load,
        "length_controlled_win_rate",
        805,
        max_new_tokens=8192,
        stop=("</s>",),
        summarise=summarise,
        aliases=("alpaca_eval_v2::tulu", "alpaca_eval_v2"),
    ),
)
