"""A judge is asked in our words or in those of a folder; what is not a prompt is refused."""

from pathlib import Path

import pytest

from olmo2.base.errors import UsageError
from olmo2.rl.aspect_prompts import filled, hash_of_prompts, own_prompts, read_aspect_prompts
from olmo2.rl.rating_text import read_rating

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who wrote {response}?"},
    {"role": "assistant", "content": "Who?"},
    {"role": "user", "content": "Emma."},
]


def test_ours_are_four_and_hold_both_texts_as_they_are() -> None:
    prompts = read_aspect_prompts(None)
    assert list(prompts) == ["helpfulness", "honesty", "instruction_following", "truthfulness"]
    for template in prompts.values():
        text = filled(template, TURNS[1:2], "Austen {prompt} \\1")
        assert "<request>\nWho wrote {response}?\n</request>" in text
        assert "<response>\nAusten {prompt} \\1\n</response>" in text
        assert read_rating(text + "Rating: 3") == 3


def test_a_conversation_is_read_with_its_roles() -> None:
    text = filled("{prompt}|{response}", TURNS, "Austen.")
    assert text == "System: Be brief.\n\nUser: Who wrote {response}?\n\nAssistant: Who?\n\nUser: Emma.|Austen."


def test_a_folder_names_the_aspects(tmp_path: Path) -> None:
    (tmp_path / "wit.txt").write_text('Is it {"witty"}? {prompt} / {response}')
    prompts = read_aspect_prompts(str(tmp_path))
    assert prompts == {"wit": 'Is it {"witty"}? {prompt} / {response}'}
    assert hash_of_prompts(prompts) != hash_of_prompts(own_prompts())


@pytest.mark.parametrize("text", ["{prompt}", "{prompt} {response} {response}", "{prompt} {response} {answer}"])
def test_a_file_that_is_no_prompt_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "wit.txt").write_text(text)
    with pytest.raises(UsageError, match=r"wit\.txt must hold \{prompt\} and \{response\} once each"):
        read_aspect_prompts(str(tmp_path))


def test_a_folder_without_prompts_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match=r"rating\.prompts: .* holds no ASPECT\.txt"):
            read_aspect_prompts(str(folder))
    (tmp_path / "wit.txt").write_bytes(b"\xff{prompt}{response}")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_aspect_prompts(str(tmp_path))
