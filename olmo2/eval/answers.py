"""How many questions with a checkable answer a model gets right."""

from collections.abc import Sequence
from dataclasses import dataclass

from olmo2.grading.final_answer import is_correct
from olmo2.inference.decode import complete
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer

BATCH_PROMPTS = 256  # short questions and small models: what costs is the number of steps


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
    settings = SamplingSettings(max_new_tokens=max_new_tokens)
    completions = complete(model, prompts, settings, stop_id=tokenizer.eos_id, batch_prompts=BATCH_PROMPTS)
    responses = [tokenizer.decode(completion) for completion in completions]
    if stop_text is not None:
        responses = [response.split(stop_text)[0] for response in responses]
    is_right = [is_correct(response, answer) for response, answer in zip(responses, answers, strict=True)]
    return CheckedAnswers(responses, is_right)
