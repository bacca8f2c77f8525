"""BIG-Bench Hard (arXiv 2210.09261): 27 tasks, three examples with a chain of thought each."""

from functools import partial

from olmo2.eval.rendering import many_turns
from olmo2.eval.sources import Rows, Source
from olmo2.eval.task import Scores, Task, Written
from olmo2.grading.bbh_answer import BBH_SUBTASKS, score_bbh_answer

SUBTASKS = tuple(BBH_SUBTASKS)
STEP_BY_STEP = "Let's think step by step."


def load(source: Source) -> list[Written]:
    """Return the questions of all tasks, one task after another."""
    items: list[Written] = []
    for subtask in SUBTASKS:
        rows = source.rows(Rows("lukaemon/bbh", subtask, "test", (f"bbh/bbh/{subtask}",), need=("input", "target")))
        examples = [
            (asked(row["input"]), row["target"].removeprefix(STEP_BY_STEP))
            for row in source.examples(f"STD:bbh_{subtask}", 3)
        ]
        description = source.text(f"bbh/cot-prompts/{subtask}.txt", description_in) or ""
        for row in rows:
            prompt = many_turns(asked(row["input"]), examples, description)
            grader = partial(grade, answer=row["target"], subtask=subtask)
            items.append(Written(len(items), row["input"], row["target"], prompt, grader, group=subtask))
    return items


def asked(question: str) -> str:
    """Return a question in full."""
    return f"Q: {question}\nA: {STEP_BY_STEP}"


def description_in(text: str) -> str:
    """Return the description at the head of a published prompt, behind the warning and before the first example.

    Raises ValueError if there is none.
    """
    description = text.partition("-----\n")[2].partition("\n\nQ:")[0]
    if not description:
        raise ValueError("the prompt has no description")
    return f"{description}\n\n"


def grade(response: str, *, answer: str, subtask: str) -> Scores:
    """Return exact match, and whether the answer was written in the form that the examples show."""
    exact_match, is_in_form = score_bbh_answer(response, answer, subtask)
    return {"exact_match": exact_match, "answer_format_correct": is_in_form}


TASKS = (
    Task(
        "bbh",
        1,
        "BIG-Bench Hard, 3 examples as turns, chain of thought, mean of all 6,511 questions",
        load,
        "exact_match",
        6511,
        max_new_tokens=512,
        aliases=("bbh:cot-v1::tulu",),
    ),
)
