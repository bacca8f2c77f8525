"""Rows have the published columns, and say of what they were made."""

from olmo2.rl.candidate_scores import CandidateScore
from olmo2.rl.pair_choice import Choice, Rated
from olmo2.rl.pair_rows import Origin, pair_row, sft_row
from tests.rl.pair_making import group_of, prompt_of

ORIGIN = Origin({"a": {"model": "0123"}, "b": {"model": "4567"}, "c": {"model": "89"}}, 3, "judge", "j", "p", ["ab"])


def test_a_row_has_whole_conversations_and_its_making() -> None:
    group = group_of(prompt_of("Why?"), "So.", "Not so.")
    scores = [CandidateScore(2.0, {"wit": 2.0}), CandidateScore(4.0, {"wit": 4.0})]
    choice = Choice(Rated(group.candidates[1], 4.0), Rated(group.candidates[0], 2.0))
    row = dict(pair_row(group, scores, choice, ORIGIN))
    made = row.pop("provenance")
    question = {"role": "user", "content": "Why?"}
    assert row == {
        "id": "Why?",
        "source": "here",
        "prompt": "Why?",
        "chosen": [question, {"role": "assistant", "content": "Not so."}],
        "rejected": [question, {"role": "assistant", "content": "So."}],
        "chosen_rating": 4.0,
        "rejected_rating": 2.0,
        "chosen_model": "b",
        "rejected_model": "a",
    }
    tokens = {"prompt_tokens": 3, "completion_tokens": 2, "is_unfinished": False}
    assert made == {
        "models": {"a": {"model": "0123"}, "b": {"model": "4567"}},
        "seed": 3,
        "scores": "judge",
        "judge": "j",
        "judge_prompts": "p",
        "prompts": ["ab"],
        "location": "file.jsonl:1",
        "candidates": [
            {"model": "a", "sample": 0, "rating": 2.0, "ratings": {"wit": 2.0}, **tokens},
            {"model": "b", "sample": 0, "rating": 4.0, "ratings": {"wit": 4.0}, **tokens},
        ],
    }


def test_the_best_alone_is_a_conversation() -> None:
    group = group_of(prompt_of("Why?"), "So.")
    row = sft_row(group, [CandidateScore(1.0)], Choice(Rated(group.candidates[0], 1.0), None), ORIGIN)
    assert row["messages"] == [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    assert (row["rating"], row["model"]) == (1.0, "a")
