"""How many questions with a checkable answer a model gets right."""

from collections.abc import Sequence
from dataclasses import dataclass

from olmo2.grading.final_answer import is_correct
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer

ENGINE = EngineSettings(max_sequences=256, step_tokens=4096)  # short questions and small models: steps are what costs


@dataclass(frozen=True)
class CheckedAnswers:
    """The model's responses to the questions, in order, and which of them are right."""

    responses: list[str]
    is_right: list[bool]

    @property
    def accuracy_ratio(self) -> float:
        """Share of right answers, 0 to 1."""
        return sum(self.is_right) / len(self.is_right)


def check_answers(
    model: Transformer,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],  # token ids
    answers: Sequence[str],
    *,
    max_new_tokens: int,
    stop_text: str | None = None,
) -> CheckedAnswers:
    """Complete every prompt greedily and grade what was written, up to `stop_text` if one is given."""
    sampling = SamplingSettings(max_new_tokens=max_new_tokens, stop=[] if stop_text is None else [stop_text])
    completions = Engine(model, tokenizer, ENGINE).run([Request(list(prompt), sampling) for prompt in prompts])
    responses = [completion.text for completion in completions]
    is_right = [is_correct(response, answer) for response, answer in zip(responses, answers, strict=True)]
    return CheckedAnswers(responses, is_right)
