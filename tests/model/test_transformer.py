"""The whole model against transformers' Olmo2ForCausalLM: logits, gradients, padding, documents, decoding."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from olmo2.model.sizes import SIZES, ModelConfig
from olmo2.model.transformer import Transformer, positions_in_documents
from tests.model.reference import hf_config, hf_twin, random_model, small_config

CPU = torch.device("cpu")
PADDED = torch.tensor([[20], [13], [1]])  # real tokens of each row


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def left_padded() -> Tensor:
    """Document ids (3, 20) with padding at the front of rows."""
    return torch.where(torch.arange(20) >= 20 - PADDED, 0, -1)


@pytest.fixture(params=[4, 1, 2], ids=["all heads", "one key-value head", "two key-value heads"])
def model(request: pytest.FixtureRequest) -> Transformer:
    return random_model(small_config(num_key_value_heads=request.param))


@pytest.fixture
def reward_model() -> Transformer:
    return random_model(replace(small_config(), head="reward"))


@pytest.fixture
def input_ids() -> Tensor:
    return torch.randint(1, 96, (3, 20))  # 0 pads: transformers learns nothing of it


def test_names_and_shapes_of_tensors_are_those_of_transformers(model: Transformer) -> None:
    ours = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert ours == {name: tensor.shape for name, tensor in hf_twin(model).state_dict().items()}


def test_a_reward_model_is_that_of_transformers(reward_model: Transformer, input_ids: Tensor) -> None:
    twin = hf_twin(reward_model)
    shapes = {name: tensor.shape for name, tensor in reward_model.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in twin.state_dict().items()}
    assert "score.weight" in shapes and "lm_head.weight" not in shapes
    scores, theirs = reward_model(input_ids), twin(input_ids).logits
    assert scores.shape == (3, 20, 1)
    torch.testing.assert_close(scores[:, -1], theirs, rtol=1e-5, atol=1e-5)
    assert_equal_gradients(reward_model, scores[:, -1], twin, theirs, torch.randn(3, 1))


@pytest.mark.parametrize("size", ["olmo2-1b", "olmo2-32b"])
def test_names_and_shapes_of_published_sizes_are_those_of_transformers(size: str) -> None:
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        ours, theirs = Transformer(SIZES[size]), transformers.Olmo2ForCausalLM(hf_config(SIZES[size]))
    expected = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == expected


def test_logits_equal_transformers(model: Transformer, input_ids: Tensor) -> None:
    logits = model(input_ids)
    assert logits.shape == (3, 20, 96)
    torch.testing.assert_close(logits, hf_twin(model)(input_ids).logits, rtol=1e-5, atol=1e-5)


def test_logits_equal_transformers_at_the_base_and_head_width_of_the_published_models() -> None:
    config = replace(small_config(), hidden_size=256, num_attention_heads=2, rope_theta=500_000.0)
    model = random_model(replace(config, initializer_range=0.05))
    input_ids = torch.randint(96, (1, 2048))
    torch.testing.assert_close(model(input_ids), hf_twin(model)(input_ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seq_len", [1, 70, 515])  # the last one is cut into blocks of attention
def test_logits_equal_transformers_at_other_lengths(seq_len: int) -> None:
    model = random_model(small_config())
    input_ids = torch.randint(96, (2, seq_len))
    torch.testing.assert_close(model(input_ids), hf_twin(model)(input_ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_no_real_position(model: Transformer, input_ids: Tensor, side: str) -> None:
    is_real = left_padded() == 0 if side == "left" else left_padded().flip(1) == 0
    logits = model(input_ids, document_ids=torch.where(is_real, 0, -1))
    positions, twin = (is_real.cumsum(1) - 1).clamp(min=0), hf_twin(model)
    theirs = twin(input_ids, attention_mask=is_real.long(), position_ids=positions).logits
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[is_real], theirs[is_real], rtol=1e-5, atol=1e-5)
    factors = torch.randn(3, 20, 96) / 10 * is_real[..., None]
    assert_equal_gradients(model, logits, twin, theirs, factors)


def assert_equal_gradients(ours: Transformer, logits: Tensor, twin: nn.Module, theirs: Tensor, factors: Tensor) -> None:
    """Go back from logits with the gradient `factors` in both models and compare every parameter's."""
    logits.backward(factors)
    theirs.backward(factors)
    expected = {name: parameter.grad for name, parameter in twin.named_parameters()}
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected[name], rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_gradients_equal_transformers(model: Transformer, input_ids: Tensor) -> None:
    twin = hf_twin(model)
    assert_equal_gradients(model, model(input_ids), twin, twin(input_ids).logits, torch.randn(3, 20, 96) / 10)


def test_bfloat16_is_as_near_to_float32_as_transformers_is(model: Transformer, input_ids: Tensor) -> None:
    exact = model(input_ids)
    model.model.compute_dtype = torch.bfloat16
    ours, theirs = model(input_ids), hf_twin(model, torch.bfloat16)(input_ids).logits
    assert ours.dtype == torch.bfloat16
    our_error, their_error = ((logits.float() - exact).norm() / exact.norm() for logits in (ours, theirs))
    assert our_error < 0.03
    assert our_error < 1.5 * their_error


def test_weights_in_bfloat16_equal_transformers_within_their_rounding(model: Transformer, input_ids: Tensor) -> None:
    halved = model.bfloat16()
    ours, theirs = halved(input_ids), hf_twin(halved, torch.bfloat16)(input_ids).logits
    exact = halved.float()(input_ids)  # the same rounded weights
    assert ours.dtype == theirs.dtype == torch.bfloat16
    our_error, their_error, difference = (
        ((left.float() - right.float()).norm() / exact.norm()).item()
        for left, right in ((ours, exact), (theirs, exact), (ours, theirs))
    )
    assert our_error < 1.25 * their_error
    assert difference < 2**-6  # logits of bfloat16 have 8 bits


def test_bfloat16_gradients_are_as_near_to_float32_as_transformers_are(input_ids: Tensor) -> None:
    model, factors = random_model(small_config()).bfloat16(), torch.randn(3, 20, 96).bfloat16()
    twins = {"ours": model, "theirs": hf_twin(model, torch.bfloat16), "exact": hf_twin(model, torch.float32)}
    gradients = {}
    for name, twin in twins.items():
        logits = twin(input_ids) if name == "ours" else twin(input_ids).logits
        logits.backward(factors.to(logits.dtype))
        gradients[name] = torch.cat([dict(twin.named_parameters())[key].grad.flatten().float() for key in names(model)])
    errors = {name: (gradients[name] - gradients["exact"]).norm() for name in ("ours", "theirs")}
    assert 0 < errors["ours"] < 1.25 * errors["theirs"] < 0.1 * gradients["exact"].norm()


def names(model: Transformer) -> list[str]:
    return [name for name, _ in model.named_parameters()]


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


@pytest.mark.parametrize("lengths", [(70,), (1, 69), (70, 130), (130, 70, 100), (300,)])
def test_long_documents_and_their_gradients_are_those_of_separate_forwards(lengths: tuple[int, ...]) -> None:
    """Rows longer than the blocks of attention, with documents across their borders and padding behind."""
    model = random_model(small_config())
    parts = [torch.randint(96, (2, length)) for length in (*lengths, 5)]
    numbers = [*range(len(lengths)), -1]
    document_ids = torch.cat([torch.full_like(part, number) for part, number in zip(parts, numbers, strict=True)], 1)
    packed = model(torch.cat(parts, 1), document_ids=document_ids)[:, :-5]
    separate = torch.cat([model(part) for part in parts[:-1]], 1)
    torch.testing.assert_close(packed, separate, rtol=1e-5, atol=1e-5)
    factors = torch.randn(packed.shape) / 100
    ours, expected = (torch.autograd.grad(logits, list(model.parameters()), factors) for logits in (packed, separate))
    for mine, slow in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, slow, rtol=1e-4, atol=1e-5)


def test_positions_start_anew_with_every_document() -> None:
    document_ids = torch.tensor([[-1, -1, 4, 4, 4, 7], [0, 1, 1, 0, 0, 0]])
    expected = torch.tensor([[0, 1, 0, 1, 2, 0], [0, 0, 1, 0, 1, 2]])
    assert torch.equal(positions_in_documents(document_ids), expected)


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
    model = random_model(ModelConfig(
        vocab_size=64, hidden_size=256, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, rope_theta=config.rope_parameters["rope_theta"], rms_norm_eps=config.rms_norm_eps,
    ))  # fmt: skip
    twin = transformers.Olmo2ForCausalLM(config)
    twin.load_state_dict(model.state_dict())
    input_ids = torch.randint(64, (2, 130))
    torch.testing.assert_close(model(input_ids), twin(input_ids).logits, rtol=1e-5, atol=1e-5)
