"""Conversations for a very small model: well formed, right, and without the problems it is checked on."""

import re

from olmo2.corpus.small_chats import TALK, Conversation, conversations
from olmo2.corpus.word_problems import ProblemSettings, held_out_problems
from olmo2.grading.final_answer import is_correct
from tests.corpus.test_word_problems import asked, equations

SETTINGS = ProblemSettings()


def exchanges(several: list[Conversation]) -> list[tuple[str, str]]:
    """Every (user, assistant) of the conversations; the roles must alternate."""
    pairs = []
    for conversation in several:
        messages = conversation["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"] * (len(messages) // 2)
        texts = [message["content"] for message in messages]
        pairs += list(zip(texts[::2], texts[1::2], strict=True))
    return pairs


def follows(user: str, assistant: str) -> bool:
    """Whether an answer is what the order asks for, judged by the order's words alone."""
    numbers = list(map(int, re.findall(r"\d+", user)))
    if repeat := re.fullmatch(r"Repeat the word (\w+)\.", user):
        return assistant == repeat[1]
    if say := re.fullmatch(r"Say (\w+) (\d) times\.", user):
        return assistant.split() == [say[1]] * int(say[2])
    if user.startswith("Which is larger"):
        return is_correct(assistant, str(max(numbers)))
    if user.startswith("Which is smaller"):
        return is_correct(assistant, str(min(numbers)))
    if user.startswith("Is "):
        return assistant.startswith("Yes, ") == (numbers[0] > numbers[1]) and ("not" in assistant) != (
            "Yes" in assistant
        )
    if user.startswith("What number comes after"):
        return assistant.startswith(f"{numbers[0] + 1} ")
    if user.startswith("Count"):
        return list(map(int, re.findall(r"\d+", assistant))) == list(range(numbers[0], numbers[1] + 1))
    return (user, assistant) in TALK


def test_every_answer_is_right() -> None:
    pairs = exchanges(list(conversations(SETTINGS, 3000, seed=1)))
    orders = [(user, assistant) for user, assistant in pairs if not equations(assistant)]
    assert [pair for pair in orders if not follows(*pair)] == []
    assert 0.2 < len(orders) / len(pairs) < 0.3
    assert len(pairs) > 3000
    assert max(int(number) for pair in pairs for number in re.findall(r"\d+", " ".join(pair))) <= 20


def test_the_problems_to_check_with_are_not_among_them() -> None:
    kept = {asked(problem.question, problem.solution) for problem in held_out_problems(SETTINGS, 300, seed=1)}
    pairs = exchanges(list(conversations(SETTINGS, 5000, seed=1)))
    learnt = {asked(user, assistant) for user, assistant in pairs if equations(assistant)}
    assert len(learnt) > 500
    assert not kept & learnt


def test_a_seed_gives_the_same_conversations() -> None:
    assert list(conversations(SETTINGS, 20, 7)) == list(conversations(SETTINGS, 20, 7))
    assert list(conversations(SETTINGS, 20, 7)) != list(conversations(SETTINGS, 20, 8))
