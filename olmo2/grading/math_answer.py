r"""Answers to problems of MATH: taken from a worked response, compared with the gold solution's, scored three ways.

exact_match         the response ends in Minerva's phrase, and sympy finds the formula in it equal to gold; what sympy
                    cannot read (pairs, intervals, matrices) never is, the same text included
exact_match_flex    that, or the last \boxed formula, without both the last one in dollars, else the whole response: one
                    of these equals gold for sympy, or as a text in the form of MATH's own grader
math_verify         the opinion of the package math-verify, which looks for the answer by rules of its own

Sources   Minerva (arXiv 2206.14858); MATH (arXiv 2103.03874); both, and the order of candidates, as OLMES has them
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from olmo2.base.errors import UsageError
from olmo2.grading.math_equality import PROCESSES, compare_formulas, verify_response
from olmo2.grading.math_form import minerva_form, same_competition_form

PHRASE_BEGINNING = "Final Answer: The final answer is"
PHRASE_END = re.compile(". I hope it is correct.")  # any character stands for a full stop, as published
BRACE = re.compile("[{}]")


@dataclass(frozen=True)
class MathScore:
    """Whether a response is right by each of three measures."""

    exact_match: bool
    exact_match_flex: bool
    math_verify: bool | None
    """None if it was not asked for"""
    was_stopped: bool
    """a comparison took too long or too much memory, and counted as not equal"""
    answer: str
    """what the response answers, in Minerva's form: the first candidate"""


def score_math_answer(response: str, gold: str, *, with_math_verify: bool = True) -> MathScore:
    r"""Score a response against `gold`: a solution that has its answer in \boxed, or the answer alone.

    From any thread or process; no comparison takes longer than `math_worker` allows. Raises UsageError if the box in
    `gold` has no end, and without the packages of the extra eval.
    """
    answer = minerva_form(gold_answer(gold))
    phrase = phrase_answer(response)
    found = candidates(response, phrase)
    comparisons = []

    def equals_gold(candidate: str) -> bool:
        comparisons.append(compare_formulas(candidate, answer))
        return comparisons[-1].is_equal

    is_exact = phrase is not None and equals_gold(found[0])
    others = found if phrase is None else found[1:]
    is_flex = is_exact or any(same_competition_form(each, answer) for each in found) or any(map(equals_gold, others))
    if with_math_verify:
        comparisons.append(verify_response(response, gold if has_box(gold) else rf"\boxed{{{gold}}}"))
    return MathScore(
        exact_match=is_exact,
        exact_match_flex=is_flex,
        math_verify=comparisons[-1].is_equal if with_math_verify else None,
        was_stopped=any(comparison.was_stopped for comparison in comparisons),
        answer=found[0],
    )


def score_math_answers(
    responses: Sequence[str], golds: Sequence[str], *, with_math_verify: bool = True
) -> list[MathScore]:
    """Score many responses, as many at a time as there are processors. Raises as `score_math_answer` does."""

    def score(pair: tuple[str, str]) -> MathScore:
        return score_math_answer(*pair, with_math_verify=with_math_verify)

    with ThreadPoolExecutor(PROCESSES.size) as threads:
        return list(threads.map(score, list(zip(responses, golds, strict=True))))


def candidates(response: str, phrase: str | None) -> list[str]:
    """Return what may be the answer in Minerva's form, without repetition, first what Minerva's phrase holds."""
    found = [text for text in (phrase, boxed_answer(response)) if text is not None]
    if not found and response.count("$") > 1:
        found = [response.rsplit("$", 2)[1]]
    return list(dict.fromkeys(map(minerva_form, found or [response])))


def phrase_answer(response: str) -> str | None:
    """Return what stands on one line between beginning and end of Minerva's phrase; None without the phrase.

    The end may be missing behind the space after the last full stop, where a response may have been cut.
    """
    for line in (response + "I hope it is correct.").split("\n"):
        _, beginning, rest = line.partition(PHRASE_BEGINNING)
        if beginning and (end := PHRASE_END.search(rest)):
            return rest[: end.start()].strip()
    return None


def boxed_answer(text: str) -> str | None:
    r"""Return the content of the last \boxed, of a last "\boxed " up to a dollar sign; None if there is none."""
    if r"\boxed " in text:
        return text.rpartition(r"\boxed ")[2].partition("$")[0]
    _, box, rest = text.rpartition(r"\boxed")
    if not box or not rest.startswith("{"):
        return None
    depth = 0
    for brace in BRACE.finditer(rest):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return rest[1 : brace.start()]
    return None


def has_box(text: str) -> bool:
    r"""Whether a gold text is a solution with its answer in \boxed."""
    return r"\boxed" in text or r"\fbox" in text


def gold_answer(gold: str) -> str:
    """Return the answer in a gold text. Raises UsageError if it stands in a box without end."""
    if not has_box(gold):
        return gold
    answer = boxed_answer(gold if r"\boxed" in gold else gold.replace(r"\fbox", r"\boxed"))
    if answer is None:
        raise UsageError(rf"the gold solution ends in a \boxed without its content in braces: ...{gold[-200:]!r}")
    return answer
