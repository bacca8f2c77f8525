"""Lets EleutherAI's lm-evaluation-harness run our models, with our engine:

import lm_eval
from olmo2.eval.harness_adapter import HarnessModel

lm_eval.simple_evaluate(HarnessModel("runs/tiny/sft"), tasks=["gsm8k"])
"""

from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from olmo2.inference.engine import EngineSettings
from olmo2.inference.engine_base import EngineBase
from olmo2.inference.model_choice import ModelRecipe
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.tokenizer.chat_template import render_chat

SETTINGS = EngineSettings(max_sequences=256, step_tokens=2048)
DEFAULT_NEW_TOKENS = 256  # the harness's own
Tokens = list[int]


class HarnessModel(TemplateLM):
    """A model folder, run or hub name as the harness sees models."""

    def __init__(self, model: str, *, max_length: int | None = None, **settings: Any) -> None:
        """Load a model. `settings` are those of `olmo2 generate`: device, dtype, revision, backend, ...

        max_length: tokens of a prompt and its answer; None = the model's context
        """
        super().__init__()
        self.engine: EngineBase = ModelRecipe.model_validate({"engine": SETTINGS, **settings, "model": model}).load()
        self.name = model
        self.max_length = min(self.engine.longest, max_length or self.engine.longest)

    @property
    def eot_token_id(self) -> int:
        """The token that stands before a text and after it."""
        return self.engine.tokenizer.eos_id

    @property
    def tokenizer_name(self) -> str:
        """What prompts that were laid out by the chat template are kept under."""
        return self.name

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the model's own template."""
        return self.engine.tokenizer.chat_template if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Lay out a conversation; one that ends with the beginning of an answer goes on there."""
        if add_generation_prompt or not chat_history or chat_history[-1]["role"] != "assistant":
            return render_chat(self.engine.tokenizer, chat_history, add_generation_prompt=add_generation_prompt)
        *before, last = chat_history
        return render_chat(self.engine.tokenizer, before, add_generation_prompt=True) + last["content"]

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> Tokens:
        """Return the ids of a text in which control tokens are meant as such, as the harness lays chats out."""
        return self.engine.tokenizer.encode(string, allow_special=True)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], Tokens, Tokens]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Return the log-probability of every continuation, and whether each of its tokens is the likeliest."""
        asked = [self.scored(context, continuation) for _, context, continuation in requests]
        order = sorted(range(len(asked)), key=lambda number: asked[number].prompt)
        completions = self.engine.run([asked[number] for number in order])
        found: list[tuple[float, bool]] = [(0.0, False)] * len(asked)
        for number, completion in zip(order, completions, strict=True):
            measured = asked[number].prompt[asked[number].score_from or 0 :]
            likeliest = [next(iter(top)) for top in completion.prompt_top_logprobs]
            found[number] = (sum(completion.prompt_logprobs), likeliest == measured)
        return found

    def scored(self, context: Tokens, continuation: Tokens) -> Request:
        """Return a request to measure a continuation, of whose context the beginning may have no room."""
        whole = [*context, *continuation]
        surplus = max(0, len(whole) - self.max_length)
        start = max(1, len(context) - surplus)
        return Request(whole[surplus:], score_from=start, is_scored_only=True, top_logprobs=1)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-probability of every text, whose tokens see as much before them as has room."""
        totals = []
        for (text,) in (request.args for request in requests):
            windows = get_rolling_token_windows(
                self.tok_encode(text), prefix_token=self.eot_token_id, max_seq_len=self.max_length - 1, context_len=1
            )
            pairs = [(("", ""), *make_disjoint_window(window)) for window in windows]
            totals.append(sum(logprob for logprob, _ in self._loglikelihood_tokens(pairs)))
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return what the model writes up to a stop text."""
        asked = [self.to_write(*request.args) for request in requests]
        order = sorted(range(len(asked)), key=lambda number: asked[number].prompt)
        completions = self.engine.run([asked[number] for number in order])
        texts = {number: completion.text for number, completion in zip(order, completions, strict=True)}
        return [texts[number] for number in range(len(asked))]

    def to_write(self, context: str, settings: dict[str, Any]) -> Request:
        """Return a request to go on with a text, of which the beginning may have no room."""
        until = settings.get("until") or []
        stop = [until] if isinstance(until, str) else list(until)
        max_new_tokens = min(int(settings.get("max_gen_toks", DEFAULT_NEW_TOKENS)), self.max_length // 2)
        prompt = self.tok_encode(context)[-(self.max_length - max_new_tokens) :]
        is_drawn = settings.get("do_sample", False)
        sampling = SamplingSettings(
            max_new_tokens=max_new_tokens,
            stop=[text for text in stop if text],
            temperature=float(settings.get("temperature", 1.0)) if is_drawn else 0.0,
            top_p=float(settings.get("top_p", 1.0)),
            top_k=settings.get("top_k"),
        )
        return Request(prompt, sampling)
