"""TriviaQA (arXiv 1705.03551): questions of quizzes, without a text."""

from functools import partial

from olmo2.eval.rendering import plain_prompt
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Scores, Task, Written
from olmo2.grading.short_answer import score_short_answer

ROWS = Rows(
    "mandarjoshi/trivia_qa",
    "rc.wikipedia.nocontext",
    "validation",
    ("triviaqa/validation", "triviaqa/triviaqa_sm_sub"),
    need=("answer",),
)


def load(source: Source) -> list[Written]:
    """Return the questions behind five examples."""
    examples = [(asked(row), row["answer"]["value"]) for row in source.examples("OLMES:triviaqa", 5)]
    items = []
    for doc_id, row in enumerate(source.rows(ROWS)):
        answers = answers_of(row)
        grader = partial(grade, answers=answers)
        items.append(Written(doc_id, question_of(row), answers[0], plain_prompt(asked(row), examples), grader))
    return items


def question_of(row: Row) -> str:
    """Return the bare question; some copies store it in full."""
    return row["question"] if "question" in row else row["context"].removeprefix("Question: ").removesuffix("\nAnswer:")


def asked(row: Row) -> str:
    """Return a question in full."""
    return f"Question: {question_of(row)}\nAnswer:"


def answers_of(row: Row) -> tuple[str, ...]:
    """Return the answer and its other names, every one once."""
    answer = row["answer"]
    if isinstance(answer, str):
        return tuple(dict.fromkeys([answer, *row["aliases"]]))
    return tuple(dict.fromkeys([answer["value"], *answer["aliases"], *answer["normalized_aliases"]]))


def grade(response: str, *, answers: tuple[str, ...]) -> Scores:
    """Return F1 and exact match against the best answer."""
    exact_match, f1 = score_short_answer(response, answers)
    return {"f1": f1, "exact_match": exact_match}


TASKS = (
    Task(
        "triviaqa",
        1,
        "TriviaQA, 5 examples, F1",
        load,
        "f1",
        7993,
        max_new_tokens=50,
        stop=("\n\n",),
        aliases=("triviaqa::olmes",),
    ),
)
