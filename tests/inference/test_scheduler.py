"""Answers go first, prompts are read in pieces, and who came last gives way when pages run out."""

from olmo2.inference.pages import PAGE_TOKENS, PagePool
from olmo2.inference.request import Request, Sequence
from olmo2.inference.sampling import SamplingSettings, random_stream
from olmo2.inference.scheduler import Scheduler
from olmo2.inference.text_stream import TextStream
from olmo2.tokenizer.tokenizer import Tokenizer


class Office:
    """A scheduler whose forwards read and answer nothing but 0."""

    def __init__(
        self, tokenizer: Tokenizer, *, pages: int = 100, max_sequences: int = 8, step_tokens: int = 64
    ) -> None:
        self.tokenizer = tokenizer
        self.scheduler = Scheduler(PagePool(pages), max_sequences=max_sequences, step_tokens=step_tokens)
        self.num = 0

    def add(self, prompt: list[int]) -> Sequence:
        request = Request(prompt)
        stream = TextStream(self.tokenizer)
        sequence = Sequence(self.num, request, stream, random_stream(SamplingSettings()), list(prompt), 10_000)
        self.num += 1
        self.scheduler.waiting.append(sequence)
        return sequence

    def step(self) -> list[tuple[int, int]]:
        """(sequence, tokens) read in a step."""
        pieces = self.scheduler.plan()
        for sequence, num_tokens in pieces:
            assert len(sequence.pages) * PAGE_TOKENS >= sequence.num_stored + num_tokens
            self.scheduler.stored(sequence, num_tokens)
            if sequence.num_waiting == 0:
                sequence.ids.append(0)
        used = [page for each in self.scheduler.running for page in each.pages]
        assert all(self.scheduler.pool.users[page] == used.count(page) for page in set(used))
        return [(sequence.id, num_tokens) for sequence, num_tokens in pieces]


def test_long_prompts_are_read_beside_answers(tokenizer: Tokenizer) -> None:
    office = Office(tokenizer)
    office.add([1, 2, 3])
    assert office.step() == [(0, 3)]
    office.add(list(range(1, 151)))
    assert [office.step() for _ in range(4)] == [
        [(0, 1), (1, 63)],
        [(0, 1), (1, 63)],
        [(0, 1), (1, 24)],
        [(0, 1), (1, 1)],
    ]


def test_no_more_than_max_sequences_at_a_time(tokenizer: Tokenizer) -> None:
    office = Office(tokenizer, max_sequences=2)
    sequences = [office.add([number, 7]) for number in range(1, 4)]
    assert office.step() == [(0, 2), (1, 2)]
    assert office.step() == [(0, 1), (1, 1)]
    office.scheduler.remove(sequences[0])
    assert office.step() == [(1, 1), (2, 2)]


def test_equal_beginnings_are_read_once(tokenizer: Tokenizer) -> None:
    office = Office(tokenizer)
    prompt = list(range(1, 2 * PAGE_TOKENS + 4))
    for _ in range(3):
        office.add(prompt)
    other = office.add([9, 9])
    assert office.step() == [(0, len(prompt)), (other.id, 2)], "who begins differently does not wait"
    assert office.step() == [(0, 1), (other.id, 1), (1, 3), (2, 3)]
    first, _, second, third = office.scheduler.running
    assert first.pages[:2] == second.pages[:2] == third.pages[:2]


def test_who_came_last_gives_way_and_comes_back(tokenizer: Tokenizer) -> None:
    office = Office(tokenizer, pages=4)
    first, last = office.add([1] * 30), office.add([2] * 30)
    assert office.step() == [(0, 30), (1, 30)]
    assert [office.step() for _ in range(2)] == [[(0, 1), (1, 1)]] * 2
    assert office.step() == [(0, 1)], "a third page for the first"
    assert list(office.scheduler.waiting) == [last] and last.pages == []
    assert len(last.ids) == 33, "its answer is kept"
    office.scheduler.remove(first)
    assert office.step() == [(1, 33 - PAGE_TOKENS)], "and read again, but for what is still there"


def test_a_prompt_begins_when_there_is_room_for_all_of_it(tokenizer: Tokenizer) -> None:
    office = Office(tokenizer, pages=4, step_tokens=16)
    first = office.add([1] * 30)
    assert [office.step(), office.step()] == [[(0, 16)], [(0, 14)]]
    office.add([2] * 40)
    assert office.step() == [(0, 1)]
    office.scheduler.remove(first)
    assert office.step() == [(1, 16)]


def test_removing_gives_all_pages_back(tokenizer: Tokenizer) -> None:
    office = Office(tokenizer, max_sequences=1)
    sequences = [office.add([number] * 20) for number in range(1, 4)]
    office.step()
    for sequence in sequences:
        office.scheduler.remove(sequence)
    assert office.scheduler.pool.num_available == 100 and office.step() == []
