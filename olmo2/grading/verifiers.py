r"""Verifiable answers: a verifier's name -> a function of a response and the right answer, 0 or 1.

The names are those of the column "dataset" of data with verifiable rewards; the functions are those that grade the
benchmarks, so that a reward and a score never disagree. A response comes without control tokens.

gsm8k    the last number of the response is the label's, as a text without commas
math     the last \boxed formula, or what else `math_answer` takes, equals the label
ifeval   the response follows the instruction of the label, {"func_name": ..., arguments}, as in RLVR-IFeval, or all of
         {"instruction_id": [...], "kwargs": [...]}, as in the benchmark and read strictly

Source   the verifiers that OLMo 2 was trained with (Tulu 3, arXiv 2411.15124, section 6). Theirs of gsm8k knows no
negative whole number, so that no response to such a label is right; labels below zero are read by `final_answer` here.
"""

import ast
import json
from collections.abc import Callable, Mapping
from typing import Any

from olmo2.base.errors import UsageError
from olmo2.base.suggestions import nearest
from olmo2.grading.final_answer import is_correct
from olmo2.grading.instructions import check_instructions
from olmo2.grading.last_number import score_last_number
from olmo2.grading.math_answer import score_math_answer
from olmo2.grading.rlvr_instructions import follows

FORMS = '{"func_name": name, arguments} or {"instruction_id": [names], "kwargs": [arguments of each]}'
Verifier = Callable[[str, str], float]
"""response, ground truth -> 1 if it is right, else 0. Raises UsageError for a ground truth that is not in its form"""


def verify(name: str, response: str, ground_truth: str) -> float:
    """Return 1 if a response is right, else 0. Raises UsageError for an unknown verifier or a label it cannot read."""
    return find_verifier(name)(response, ground_truth)


def find_verifier(name: str) -> Verifier:
    """Return the verifier of a name, in whatever case. Raises UsageError if there is none."""
    verifier = VERIFIERS.get(name.lower())
    if verifier is None:
        raise UsageError(f"there is no verifier {name!r}{nearest(name.lower(), list(VERIFIERS))}")
    return verifier


def verify_number(response: str, ground_truth: str) -> float:
    """Whether the response ends in the right number."""
    if ground_truth.strip().startswith("-"):
        return float(is_correct(response, ground_truth))
    return score_last_number(response, ground_truth)


def verify_math(response: str, ground_truth: str) -> float:
    """Whether the response's formula equals the right one. Needs the packages of the extra eval."""
    return float(score_math_answer(response, ground_truth, with_math_verify=False).exact_match_flex)


def verify_instructions(response: str, ground_truth: str) -> float:
    """Whether the response, as it is, follows what the label says."""
    label = read_label(ground_truth)
    if "func_name" in label:
        return float(follows(response, label))
    ids, arguments = instructions_of(label)
    try:
        return float(check_instructions(response, ids, arguments, ground_truth).all_strict)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None


def read_label(ground_truth: str) -> Mapping[str, Any]:
    """Return a label, which may be JSON, or a Python literal as published. Raises UsageError for what is none."""
    try:
        label: Any = json.loads(ground_truth)
    except ValueError:
        try:
            label = ast.literal_eval(ground_truth)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            label = None
    if isinstance(label, list) and len(label) == 1:
        (label,) = label
    if not isinstance(label, Mapping):
        raise UsageError(f"the ground truth of ifeval must be {FORMS}, not {ground_truth[:120]!r}")
    return label


def instructions_of(label: Mapping[str, Any]) -> tuple[list[str], list[Mapping[str, object]]]:
    """Return the instructions of a label with the arguments of each. Raises UsageError if it has none."""
    ids: Any = label.get("instruction_id", label.get("instruction_id_list"))
    arguments: Any = label.get("kwargs")
    if is_list_of(ids, str) and is_list_of(arguments, Mapping | None) and ids and len(ids) == len(arguments):
        return ids, [each or {} for each in arguments]
    raise UsageError(f"the ground truth of ifeval must be {FORMS}, not {str(label)[:120]}")


def is_list_of(value: object, kind: Any) -> bool:
    """Whether a value is a list of values of one kind."""
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


VERIFIERS: Mapping[str, Verifier] = {"gsm8k": verify_number, "math": verify_math, "ifeval": verify_instructions}
