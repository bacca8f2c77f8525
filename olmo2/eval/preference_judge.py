"""Which of two responses is better? The question as AlpacaEval 2 puts it to a judge, and the preference in the answer.

The judge sees two anonymous models, "m" and "M", in an order that the instruction decides, and names the better one
in a single token. What counts is how likely it finds either name, not which one it happened to write. The text of the
question is not ours: it is a template in ChatML with {instruction}, {output_1} and {output_2}.

Source   AlpacaEval 2 (arXiv 2404.04475), setting weighted_alpaca_eval_gpt4_turbo
"""

import math
import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from olmo2.base.errors import UsageError
from olmo2.eval.task import JudgeQuestion, Prompt, Turn
from olmo2.eval.win_rate import DRAW

FIRST, SECOND = "m", "M"
PLACEHOLDERS = ("instruction", "output_1", "output_2")
PLACEHOLDER = re.compile(r"\{([^\s{}]+)\}")
MESSAGE = re.compile(r"<\|im_start\|>(system|user|assistant)[ \t]*\n(.*?)<\|im_end\|>", re.DOTALL)
TOP_LOGPROBS = 5
ROUNDING = 1e-3  # by which a log-probability may be above 0


def read_judge_template(text: str) -> tuple[Turn, ...]:
    """Split a judge's question in ChatML into turns that still have their placeholders.

    Raises UsageError unless it is ChatML with each of the three placeholders once, and no other.
    """
    turns = tuple(cast(Turn, turn) for turn in MESSAGE.findall(text))
    if not turns or MESSAGE.sub("", text).strip():
        raise UsageError("the judge's template must be ChatML, <|im_start|>ROLE, a line break, a text and <|im_end|>")
    counts = Counter(name for _, content in turns for name in PLACEHOLDER.findall(content))
    if counts != Counter(PLACEHOLDERS):
        found = ", ".join(f"{{{name}}} {count} times" for name, count in sorted(counts.items())) or "none"
        wanted = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise UsageError(f"the judge's template must hold each of {wanted} once and no other placeholder, not {found}")
    return turns


@dataclass(frozen=True)
class ResponsePair:
    """Two responses to one instruction."""

    instruction: str
    baseline_response: str
    model_response: str
    seed: int = 0  # published annotations have 0

    @property
    def is_model_first(self) -> bool:
        """Whether the model's response is the one called "m".

        The rule, and the words that it hashes, are those of the published annotations: for the same instruction the
        order is the same in all models' pairs.
        """
        return random.Random(f"is_switched_outputs{self.instruction}{self.seed}").random() >= 0.5

    def question(self, template: tuple[Turn, ...]) -> JudgeQuestion:
        """Return what the judge is asked, in the turns of `read_judge_template`."""
        pair = [self.baseline_response, self.model_response]
        first, second = reversed(pair) if self.is_model_first else pair
        texts = {"instruction": self.instruction, "output_1": first, "output_2": second}
        turns = tuple(
            (role, PLACEHOLDER.sub(lambda found: texts[found[1]], content).strip()) for role, content in template
        )
        # the temperature is the published one: it does not change the log-probabilities that are read
        return JudgeQuestion(Prompt(turns=turns), max_new_tokens=1, top_logprobs=TOP_LOGPROBS, temperature=1.0)

    def preference(self, first_token: Mapping[str, float]) -> float:
        """Return the preference, 1 (the baseline's) to 2 (the model's), in a judge's answer to `question`.

        first_token: its likeliest first tokens with their log-probabilities; a name that is not among them counts as
        impossible. Equal responses are a draw, whatever the judge says.
        Raises ValueError for an answer that prefers neither name: such a pair has no preference.
        """
        if self.baseline_response == self.model_response:
            return DRAW
        preference = 2 - probability_of_first(first_token)
        return 3 - preference if self.is_model_first else preference


def probability_of_first(first_token: Mapping[str, float]) -> float:
    """Return P(m) / (P(m) + P(M)). Raises ValueError if neither is possible or a number is no log-probability."""
    logprobs = [first_token.get(name, -math.inf) for name in (FIRST, SECOND)]
    if any(math.isnan(logprob) or logprob > ROUNDING for logprob in logprobs):
        raise ValueError(f"the judge's log-probabilities of m and M must be at most 0, not {logprobs}")
    first, second = (math.exp(logprob) for logprob in logprobs)
    if first + second == 0:
        tokens = ", ".join(map(repr, first_token)) or "no token"
        raise ValueError(f"the judge named neither m nor M: its likeliest first tokens are {tokens}")
    return first / (first + second)
