"""Decoding with the cache equals reading everything anew for each token, in batches of any make-up."""

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.inference.decode import complete
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.transformer import Transformer

PROMPTS = [[5, 9, 300], [7], [11, 12, 13, 14, 15, 16, 17], [400, 2]]
NO_STOP = 10_000


@torch.no_grad()
def slow_greedy(model: Transformer, prompt: list[int], num_tokens: int) -> list[int]:
    ids = list(prompt)
    for _ in range(num_tokens):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def test_greedy_equals_reading_everything_anew(tiny_model: Transformer) -> None:
    found = complete(tiny_model, PROMPTS, SamplingSettings(max_new_tokens=12), stop_id=NO_STOP)
    assert found == [slow_greedy(tiny_model, prompt, 12) for prompt in PROMPTS]


def test_batches_do_not_matter(tiny_model: Transformer) -> None:
    settings = SamplingSettings(max_new_tokens=5)
    one_by_one = complete(tiny_model, PROMPTS, settings, stop_id=NO_STOP, batch_prompts=1)
    assert complete(tiny_model, PROMPTS, settings, stop_id=NO_STOP, batch_prompts=3) == one_by_one


def test_equals_transformers_generate(tiny_model: Transformer) -> None:
    transformers = pytest.importorskip("transformers")
    config = tiny_model.config
    theirs = transformers.Olmo2ForCausalLM(
        transformers.Olmo2Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            eos_token_id=None,
            bos_token_id=None,
            pad_token_id=0,
        )
    )
    theirs.load_state_dict(tiny_model.state_dict())
    for prompt in PROMPTS:
        expected = theirs.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False)[0, len(prompt) :]
        found = complete(tiny_model, [prompt], SamplingSettings(max_new_tokens=8), stop_id=NO_STOP)
        assert found == [expected.tolist()]


def test_stop_token_ends_only_its_own_row(tiny_model: Transformer) -> None:
    whole = [slow_greedy(tiny_model, prompt, 12) for prompt in PROMPTS]
    stop_id = whole[0][3]
    found = complete(tiny_model, PROMPTS, SamplingSettings(max_new_tokens=12), stop_id=stop_id)
    assert found == [row[: row.index(stop_id)] if stop_id in row else row for row in whole]


def test_context_ends_the_completion(tiny_model: Transformer) -> None:
    prompt = list(range(120))
    found = complete(tiny_model, [prompt], SamplingSettings(max_new_tokens=50), stop_id=NO_STOP)
    assert len(found[0]) == 128 - 120 + 1  # the last token is predicted from a full context


def test_a_long_prompt_does_not_cut_its_neighbours_short(tiny_model: Transformer) -> None:
    prompts = [list(range(1, 4)), list(range(120))]  # of a context of 128
    settings = SamplingSettings(max_new_tokens=20)
    together = complete(tiny_model, prompts, settings, stop_id=NO_STOP)
    assert [len(completion) for completion in together] == [20, 9]
    assert together == [complete(tiny_model, [prompt], settings, stop_id=NO_STOP)[0] for prompt in prompts]


@pytest.mark.parametrize(("prompts", "message"), [([[1], []], "a prompt is empty"), ([list(range(128))], "shorten it")])
def test_prompts_that_cannot_be_continued(tiny_model: Transformer, prompts: list[list[int]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        complete(tiny_model, prompts, SamplingSettings(), stop_id=NO_STOP)
