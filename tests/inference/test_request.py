"""Which places of a prompt are scored, and which of its tokens may be found instead of read."""

import pytest

from olmo2.inference.request import Request, Sequence
from olmo2.inference.sampling import SamplingSettings, random_stream
from olmo2.inference.text_stream import TextStream
from olmo2.tokenizer.tokenizer import Tokenizer


def sequence(tokenizer: Tokenizer, score_from: int | None, num_answered: int = 0) -> Sequence:
    """Ten tokens of prompt, and some of an answer."""
    request = Request(list(range(10)), score_from=score_from)
    stream, numbers = TextStream(tokenizer), random_stream(SamplingSettings())
    return Sequence(0, request, stream, numbers, list(range(10 + num_answered)), 100)


@pytest.mark.parametrize(("score_from", "reusable"), [(None, 9), (1, 0), (6, 5), (10, 9)])
def test_what_may_be_reused(tokenizer: Tokenizer, score_from: int | None, reusable: int) -> None:
    assert sequence(tokenizer, score_from).num_reusable == reusable


def test_places_to_score(tokenizer: Tokenizer) -> None:
    each = sequence(tokenizer, 4)
    assert [len(each.places_to_score(num)) for num in (3, 4, 9, 10)] == [0, 1, 6, 6]
    assert each.places_to_score(10) == range(3, 9), "a token's place is told by the one before"
    each.num_stored = 5
    each.completion.prompt_logprobs = [0.0, 0.0]  # of tokens 4 and 5
    assert each.places_to_score(3) == range(5, 8)
    each.start_over()  # put off: what is scored stays
    assert each.places_to_score(10) == range(5, 9)
    assert each.num_reusable == 5
    assert len(sequence(tokenizer, None).places_to_score(10)) == 0


def test_a_scored_prompt_is_not_scored_again(tokenizer: Tokenizer) -> None:
    each = sequence(tokenizer, 4, num_answered=3)
    each.completion.prompt_logprobs = [0.0] * 6
    assert len(each.places_to_score(13)) == 0
    assert each.num_reusable == 9
