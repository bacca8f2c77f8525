"""Questions, examples and instructions put together as OLMES does, character for character.

Source   OLMES (arXiv 2406.08446), appendix, and the settings of its suites for Tulu 3 and OLMo 2
"""

from collections.abc import Sequence

from olmo2.eval.task import Option, Prompt, Turn

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Example = tuple[str, str]
"""a question in full, "Answer:" included, and what follows it"""


def plain_prompt(question: str, examples: Sequence[Example] = (), description: str = "") -> Prompt:
    """Return one text: the description, the examples with empty lines between them, and the question."""
    return Prompt(description + "".join(f"{asked} {answer}\n\n" for asked, answer in examples) + question)


def one_turn(question: str, examples: Sequence[Example] = (), description: str = "") -> Prompt:
    """Return a conversation of one message that holds all of that."""
    return Prompt(turns=(("user", plain_prompt(question, examples, description).text),))


def many_turns(question: str, examples: Sequence[Example], description: str = "", prefix: str = "") -> Prompt:
    """Return a conversation in which every example has been asked and answered before.

    The description opens the first message. A `prefix` such as "Answer:" is taken from the end of questions and
    begins the answers.
    """
    turns: list[Turn] = []
    for number, (asked, answer) in enumerate(examples):
        turns.append(("user", description * (number == 0) + without_end(asked, prefix)))
        turns.append(("assistant", f"{prefix} {answer.strip()}".strip()))
    opening = description if not examples else ""
    return Prompt(prefix, (*turns, ("user", opening + without_end(question, prefix))))


def without_end(question: str, prefix: str) -> str:
    """Return a question without `prefix` at its end, nor the space around that."""
    if not prefix or not question.rstrip().endswith(prefix):
        return question
    return question.rstrip().removesuffix(prefix).rstrip()


def with_options(
    question: str, options: Sequence[str], *, opening: str = "Question: ", before: str = "", ending: str = "Answer:"
) -> str:
    """Return a question with its options behind letters, " A. text", a line each. Raises TypeError for no list."""
    lines = "\n".join(f" {letter}. {text}" for letter, text in zip(LETTERS, texts_of(options), strict=False))
    return f"{opening}{question}\n{before}{lines}\n{ending}"


def texts_of(value: object) -> list[str]:
    """Return a row's list of texts. Raises TypeError for anything else, such as the text that a table holds."""
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"a list of texts is needed, not {value!r:.40}; such rows come as JSON or Parquet")
    return list(value)


def options_of(prompt: Prompt, continuations: Sequence[str]) -> tuple[Option, ...]:
    """Return options that follow the same prompt, each behind a space."""
    return tuple(Option(prompt, f" {text}") for text in continuations)


def options_and_unconditional(prompt: Prompt, continuations: Sequence[str]) -> tuple[Option, ...]:
    """Return the same, and once more behind "Answer:" alone."""
    return options_of(prompt, continuations) + options_of(Prompt("Answer:"), continuations)
