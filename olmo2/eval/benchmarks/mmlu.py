"""MMLU (arXiv 2009.03300): questions of 57 subjects with four options each."""

from collections.abc import Mapping
from functools import partial

from olmo2.eval.ranked import score_choices
from olmo2.eval.rendering import LETTERS, Example, many_turns, one_turn, options_of, plain_prompt, with_options
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Prompt, Ranked, Scores, Task, Written
from olmo2.grading.choice_letter import score_choice_letter

NEED = ("question", "subject", "choices", "answer")
TEST = Rows("cais/mmlu", "all", "test", ("mmlu/test",), need=NEED)
DEV = Rows("cais/mmlu", "all", "dev", ("mmlu/dev",), need=NEED)
NUM_ITEMS = 14042


def load_reasoned(source: Source) -> list[Written]:
    """Return the questions, to be answered with a summary of the reasoning and a letter."""
    items = []
    for doc_id, row in enumerate(source.rows(TEST)):
        description = (
            f"The following are multiple choice questions about {subject_of(row)}. Summarize your reasoning concisely, "
            "then conclude with 'Therefore, the answer is: X' where X is one of A, B, C, or D.\n\n"
        )
        prompt = one_turn(with_options(row["question"], row["choices"], ending=""), description=description)
        letter = LETTERS[row["answer"]]
        grader = partial(grade, answer=letter)
        items.append(Written(doc_id, row["question"], letter, prompt, grader, group=row["subject"]))
    return items


def load_letters_chat(source: Source) -> list[Ranked]:
    """Return the questions as the last of many turns, with letters as options."""
    return load_letters(source, is_chat=True)


def load_letters_plain(source: Source) -> list[Ranked]:
    """Return the questions behind their examples in one text, with letters as options."""
    return load_letters(source, is_chat=False)


def load_letters(source: Source, *, is_chat: bool) -> list[Ranked]:
    """Return the questions, each behind the first five of its subject's development split."""
    examples = read_examples(source)
    items = []
    for doc_id, row in enumerate(source.rows(TEST)):
        description = f"The following are multiple choice questions (with answers) about {subject_of(row)}.\n\n"
        shots = examples[row["subject"]][:5]
        prompt = (many_turns if is_chat else plain_prompt)(asked(row), shots, description)
        items.append(item(doc_id, row, prompt))
    return items


def read_examples(source: Source) -> Mapping[str, list[Example]]:
    """Return the examples of every subject."""
    examples: dict[str, list[Example]] = {}
    for row in source.rows(DEV):
        examples.setdefault(row["subject"], []).append((asked(row), LETTERS[row["answer"]]))
    return examples


def subject_of(row: Row) -> str:
    """Return the name of a row's subject in words."""
    return row["subject"].replace("_", " ")


def asked(row: Row) -> str:
    """Return a question in full, with its options."""
    return with_options(row["question"], row["choices"])


def item(doc_id: int, row: Row, prompt: Prompt) -> Ranked:
    """Return a question with its letters."""
    options = options_of(prompt, LETTERS[: len(row["choices"])])
    grader = partial(score_choices, answer=row["answer"])
    return Ranked(doc_id, row["question"], LETTERS[row["answer"]], options, grader, group=row["subject"])


def grade(response: str, *, answer: str) -> Scores:
    """Return whether the letter is right, and whether it was written in the form asked for."""
    exact_match, is_in_form = score_choice_letter(response, answer)
    return {"exact_match": exact_match, "answer_format_correct": is_in_form}


TASKS = (
    Task(
        "mmlu",
        1,
        "MMLU, no examples, reasoning in short and a letter, mean of 57 subjects",
        load_reasoned,
        "exact_match",
        NUM_ITEMS,
        average="groups",
        max_new_tokens=512,
        stop=("Question:",),
        aliases=("mmlu:cot::summarize",),
    ),
    Task(
        "mmlu:mc",
        1,
        "MMLU, 5 examples as turns, likeliest letter, mean of 57 subjects",
        load_letters_chat,
        "acc_raw",
        NUM_ITEMS,
        average="groups",
        aliases=("mmlu:mc::tulu",),
    ),
    Task(
        "mmlu:base",
        1,
        "MMLU, 5 examples in one text, likeliest letter, mean of 57 subjects",
        load_letters_plain,
        "acc_raw",
        NUM_ITEMS,
        average="groups",
        aliases=("mmlu:mc::olmes",),
    ),
)
