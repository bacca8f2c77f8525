"""What is left out, beside plain counts of characters, tokens and n-grams; all else stays."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from olmo2.base.errors import UsageError
from olmo2.rl.pair_choice import Choice, Rated
from olmo2.rl.pair_filters import CONTAMINATED, EQUAL, PHRASE, SPECIAL, TOO_LONG, Filters, FilterSettings
from olmo2.tokenizer.chat_template import render_chat
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.rl.pair_making import group_of, prompt_of, write_rows

ITEM = "A farmer had seventeen sheep and all of them but nine ran away so how many sheep are left on the farm"


def reason(chosen: str, rejected: str | None, text: str = "?", **settings: Any) -> str | None:
    """Why a pair of responses is left out."""
    prompt = prompt_of(text)
    first, second = group_of(prompt, chosen, rejected or "").candidates
    choice = Choice(Rated(first, 2.0), None if rejected is None else Rated(second, 1.0))
    return Filters(FilterSettings(**settings)).reason_against_pair(prompt, choice)


def test_equal_responses_are_no_pair() -> None:
    assert reason("Yes.", " Yes.\n") == EQUAL
    assert reason("Yes.", "No.") is None
    assert reason("Yes.", None) is None


@pytest.mark.parametrize("token", ["<|endoftext|>", "<|user|>", "<|im_end|>", "[/INST]"])
def test_texts_of_control_tokens_are_found_anywhere(token: str) -> None:
    assert reason("Yes.", f"No.{token}") == f"pairs: {SPECIAL}"
    assert reason(f"{token}Yes.", None) == f"pairs: {SPECIAL}"
    assert reason("Yes.", f"No.{token}", special_tokens=[]) is None
    dropped = Counter[str]()
    prompts = [prompt_of("Hi."), prompt_of(f"Hi {token}")]
    assert Filters(FilterSettings()).kept_prompts(prompts, dropped) == prompts[:1]
    assert dropped == {f"prompts: {SPECIAL}": 1}


def test_phrases_are_found_in_any_case_in_responses_alone() -> None:
    assert reason("Yes.", "I am MADE by (us)", phrases=["made by (us)"]) == f"pairs: {PHRASE}"
    assert reason("Yes.", "No.", "made by (us)", phrases=["made by (us)"]) is None
    assert reason("Yes.", "I am made by them", phrases=["made by (us)"]) is None


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("My knowledge cutoff is October 2023.", True),
        ("As of my last update, he was mayor.", True),
        ("As of my most recent training, no.", True),
        ("It is not in my training data.", True),
        ("I have a training cut-off in 2021.", True),
        ("The cutoff date for applications is May.", True),
        ("She cut off the bread.", False),
        ("The data were cut in half.", False),
        ("As of 2020 it was the tallest.", False),
    ],
)
def test_cutoff_dates_are_found_if_asked_for(text: str, is_found: bool) -> None:
    assert (reason("Yes.", text, cutoff_dates=True) is not None) == is_found
    assert reason("Yes.", text) is None


def test_lengths_are_those_of_whole_conversations(tmp_path: Path, tokenizer: Tokenizer) -> None:
    assert reason("x" * 10, "y" * 9, "z" * 10, max_characters=20) is None
    assert reason("x" * 10, "y" * 11, "z" * 10, max_characters=20) == f"pairs: {TOO_LONG}"
    tokenizer.save(tmp_path)
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "The quick brown fox."}]
    num_tokens = len(tokenizer.encode(render_chat(tokenizer, messages), allow_special=True))
    given = {"tokenizer": str(tmp_path)}
    assert reason("The quick brown fox.", "No.", "Why?", max_tokens=num_tokens, **given) is None
    assert reason("The quick brown fox.", "No.", "Why?", max_tokens=num_tokens - 1, **given) == f"pairs: {TOO_LONG}"
    with pytest.raises(ValidationError, match="max_tokens and tokenizer belong together"):
        FilterSettings(max_tokens=5)


def test_prompts_that_hold_a_benchmarks_item_are_left_out(tmp_path: Path) -> None:
    items = write_rows(tmp_path / "items.jsonl", [{"question": ITEM, "answer": "Nine sheep."}])
    words = ITEM.split()
    half, less = " ".join(words[:16]), " ".join(words[:12])  # 9 and 5 of 14 n-grams of 8 words
    num_ngrams = len(words) - 7
    assert (16 - 7) / num_ngrams >= 0.5 > (12 - 7) / num_ngrams
    prompts = [prompt_of(text) for text in (f"Hello: {ITEM.upper()}!", half, less, "How many sheep are left?")]
    dropped = Counter[str]()
    filters = Filters(FilterSettings(against=[str(items)]))
    assert filters.kept_prompts(prompts, dropped) == prompts[2:]
    assert dropped == {CONTAMINATED: 2}
    stricter = Filters(FilterSettings(against=[str(items)], threshold=0.3))
    assert stricter.kept_prompts(prompts, Counter()) == prompts[3:]


def test_benchmarks_are_read_as_evaluation_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "gsm8k"
    folder.mkdir(parents=True)
    row = {"question": ITEM, "answer": "All but nine ran away. #### 9"}
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n")
    filters = Filters(FilterSettings(against=["gsm8k"], data=str(tmp_path)))
    assert filters.kept_prompts([prompt_of(ITEM), prompt_of("Hi.")], Counter()) == [prompt_of("Hi.")]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"filters\.data: there is no folder"):
        Filters(FilterSettings(data=str(tmp_path / "absent")))
    with pytest.raises(UsageError, match="against: "):
        Filters(FilterSettings(against=["gsm9k"]))
