"""The whole model against transformers' Olmo2ForCausalLM: logits, gradients, padding, documents, decoding."""

import pytest
import torch
from torch import Tensor

from olmo2.model.kv_cache import KVCache
from olmo2.model.transformer import Transformer, positions_in_documents
from tests.model.reference import hf_twin, random_model, small_config

CPU = torch.device("cpu")


@pytest.fixture(params=[4, 1, 2], ids=["all heads", "one key-value head", "two key-value heads"])
def model(request: pytest.FixtureRequest) -> Transformer:
    return random_model(small_config(num_key_value_heads=request.param))


@pytest.fixture
def input_ids() -> Tensor:
    return torch.randint(
        1, 96, (3, 20), generator=torch.Generator().manual_seed(0)
    )  # 0 pads: transformers learns nothing of it


def test_names_and_shapes_of_tensors_are_those_of_transformers(model: Transformer) -> None:
    ours = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert ours == {name: tensor.shape for name, tensor in hf_twin(model).state_dict().items()}


def test_logits_equal_transformers(model: Transformer, input_ids: Tensor) -> None:
    logits = model(input_ids)
    assert logits.shape == (3, 20, 96)
    torch.testing.assert_close(logits, hf_twin(model)(input_ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seq_len", [1, 70, 200])  # one block of attention, two, four
def test_logits_equal_transformers_at_other_lengths(seq_len: int) -> None:
    model = random_model(small_config())
    input_ids = torch.randint(96, (2, seq_len))
    torch.testing.assert_close(model(input_ids), hf_twin(model)(input_ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_no_real_position(model: Transformer, input_ids: Tensor, side: str) -> None:
    is_real = torch.arange(20) < torch.tensor([[20], [13], [1]])
    if side == "left":
        is_real = is_real.flip(1)
    logits = model(input_ids, document_ids=torch.where(is_real, 0, -1))
    positions = (is_real.cumsum(1) - 1).clamp(min=0)
    theirs = hf_twin(model)(input_ids, attention_mask=is_real.long(), position_ids=positions).logits
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[is_real], theirs[is_real], rtol=1e-5, atol=1e-5)


def test_gradients_equal_transformers(model: Transformer, input_ids: Tensor) -> None:
    twin = hf_twin(model)
    factors = torch.randn(3, 20, 96) / 10
    model(input_ids).backward(factors)
    twin(input_ids).logits.backward(factors)
    theirs = dict(twin.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: n + m)


def test_bfloat16_is_as_near_to_float32_as_transformers_is(model: Transformer, input_ids: Tensor) -> None:
    exact = model(input_ids)
    model.model.compute_dtype = torch.bfloat16
    ours, theirs = model(input_ids), hf_twin(model, torch.bfloat16)(input_ids).logits
    assert ours.dtype == torch.bfloat16
    our_error, their_error = ((logits.float() - exact).norm() / exact.norm() for logits in (ours, theirs))
    assert our_error < 0.03
    assert our_error < 1.5 * their_error


def test_bfloat16_gradients_reach_the_float32_weights(input_ids: Tensor) -> None:
    model = random_model(small_config())
    factors = torch.randn(3, 20, 96)
    names = [name for name, _ in model.named_parameters()]
    exact = torch.autograd.grad(model(input_ids), list(model.parameters()), factors)
    model.model.compute_dtype = torch.bfloat16
    rounded = torch.autograd.grad(model(input_ids), list(model.parameters()), factors.bfloat16())
    for name, ours, right in zip(names, rounded, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - right).norm() < 0.1 * right.norm(), name


def test_documents_in_a_row_are_separate_forwards(model: Transformer, input_ids: Tensor) -> None:
    cuts = [(0, 7), (7, 8), (8, 20)]
    document_ids = torch.tensor([number for number, (start, end) in enumerate(cuts) for _ in range(start, end)])
    packed = model(input_ids, document_ids=document_ids.expand(3, -1))
    for start, end in cuts:
        torch.testing.assert_close(packed[:, start:end], model(input_ids[:, start:end]), rtol=1e-5, atol=1e-5)


def test_positions_start_anew_with_every_document() -> None:
    document_ids = torch.tensor([[-1, -1, 4, 4, 4, 7], [0, 1, 1, 0, 0, 0]])
    expected = torch.tensor([[0, 1, 0, 1, 2, 0], [0, 0, 1, 0, 1, 2]])
    assert torch.equal(positions_in_documents(document_ids), expected)


@pytest.mark.parametrize("chunks", [[20], [1] * 20, [7, 1, 1, 11]])
def test_decoding_with_a_cache_equals_one_forward(model: Transformer, input_ids: Tensor, chunks: list[int]) -> None:
    cache = KVCache(model.config, 3, 20, dtype=torch.float32, device=CPU)
    with torch.no_grad():
        logits = torch.cat([model(chunk, cache=cache) for chunk in input_ids.split(chunks, dim=1)], dim=1)
        torch.testing.assert_close(logits, model(input_ids), rtol=1e-5, atol=1e-5)
    assert cache.length == 20


def test_a_cache_beyond_its_capacity_is_refused(input_ids: Tensor) -> None:
    model = random_model(small_config())
    cache = KVCache(model.config, 3, 19, dtype=torch.float32, device=CPU)
    with pytest.raises(ValueError, match="holds 19 tokens, 20 are needed"):
        model(input_ids, cache=cache)


def test_a_head_gets_hidden_states_and_output_matrix(input_ids: Tensor) -> None:
    model = random_model(small_config())
    logits = model(input_ids, head=lambda hidden, weight: hidden @ weight.T)
    torch.testing.assert_close(logits, model(input_ids))


def test_a_small_published_shape_with_transformers_own_attention() -> None:
    """Head width 128 and transformers' default attention kernel, as users run it."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Olmo2Config(
        vocab_size=64, hidden_size=256, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = random_model(small_config().__class__(
        vocab_size=64, hidden_size=256, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, rope_theta=config.rope_parameters["rope_theta"], rms_norm_eps=config.rms_norm_eps,
    ))  # fmt: skip
    twin = transformers.Olmo2ForCausalLM(config)
    twin.load_state_dict(model.state_dict())
    input_ids = torch.randint(64, (2, 130))
    torch.testing.assert_close(model(input_ids), twin(input_ids).logits, rtol=1e-5, atol=1e-5)
