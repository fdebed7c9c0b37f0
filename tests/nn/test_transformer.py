"""Transformer layers, stacks and positions: PyTorch's numbers, masks, no look ahead."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

E, HEADS, FF, B, T, S = 8, 2, 12, 3, 4, 5
SIZES = (E, HEADS, FF, 0.0)


def shape(length, first, batched=True):
    if not batched:
        return (length, E)
    return (B, length, E) if first else (length, B, E)


def padding(length):
    mask = np.zeros((B, length), bool)
    mask[0, -2:] = mask[2, -1:] = True
    return mask


@pytest.fixture
def parity():
    pytest.importorskip("torch")
    from tests.nn import parity

    return parity


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_encoder_layer(parity, first, norm_first, bias, activation):
    options = {
        "batch_first": first,
        "norm_first": norm_first,
        "bias": bias,
        "activation": activation,
    }
    mine, theirs = parity.twins(
        nn.TransformerEncoderLayer(*SIZES, **options),
        parity.torch.nn.TransformerEncoderLayer(*SIZES, **options),
    )
    x = parity.array(*shape(T, first))
    parity.assert_parity(mine, theirs, x)
    parity.assert_parity(mine, theirs, x, src_key_padding_mask=padding(T))
    blocked = np.triu(np.ones((T, T), bool), 1)
    parity.assert_parity(mine, theirs, x, src_mask=blocked)
    parity.assert_parity(mine, theirs, x, src_mask=parity.array(T, T))
    parity.assert_parity(mine, theirs, parity.array(T, E))
    causal = mine(mg.asarray(x), is_causal=True).detach().numpy()
    with_mask = mine(mg.asarray(x), mg.asarray(blocked)).detach().numpy()
    np.testing.assert_allclose(causal, with_mask, rtol=1e-12)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_decoder_layer(parity, first, norm_first):
    options = {"batch_first": first, "norm_first": norm_first, "activation": "gelu"}
    mine, theirs = parity.twins(
        nn.TransformerDecoderLayer(*SIZES, **options),
        parity.torch.nn.TransformerDecoderLayer(*SIZES, **options),
    )
    x, memory = parity.array(*shape(T, first)), parity.array(*shape(S, first))
    parity.assert_parity(mine, theirs, x, memory)
    parity.assert_parity(
        mine,
        theirs,
        x,
        memory,
        tgt_mask=np.triu(np.ones((T, T), bool), 1),
        memory_mask=np.tri(T, S, 2) == 0,
        tgt_key_padding_mask=padding(T),
        memory_key_padding_mask=padding(S),
    )
    parity.assert_parity(mine, theirs, parity.array(T, E), parity.array(S, E))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("first", [True, False])
def test_transformer(parity, first):
    sizes = (E, HEADS, 2, 2, FF, 0.0)
    mine, theirs = parity.twins(
        nn.Transformer(*sizes, batch_first=first),
        parity.torch.nn.Transformer(*sizes, batch_first=first),
    )
    assert list(mine.state_dict()) == list(theirs.state_dict())
    causal = nn.Transformer.generate_square_subsequent_mask(T, dtype="float64").numpy()
    expected = parity.torch.nn.Transformer.generate_square_subsequent_mask(T).numpy()
    np.testing.assert_array_equal(causal, expected)
    x, y = parity.array(*shape(S, first)), parity.array(*shape(T, first))
    masks = {
        "tgt_mask": np.triu(np.ones((T, T), bool), 1),
        "src_key_padding_mask": padding(S),
        "memory_key_padding_mask": padding(S),
        "tgt_key_padding_mask": padding(T),
    }
    parity.assert_parity(mine, theirs, x, y, **masks)


def test_encoder_without_last_norm(parity):
    mine, theirs = parity.twins(
        nn.TransformerEncoder(nn.TransformerEncoderLayer(*SIZES), 2),
        parity.torch.nn.TransformerEncoder(
            parity.torch.nn.TransformerEncoderLayer(*SIZES), 2, enable_nested_tensor=False
        ),
    )
    parity.assert_parity(mine, theirs, parity.array(T, B, E))


def test_copies_start_with_weights_of_their_own():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(*SIZES), 3)
    drawn = [layer.linear1.weight.numpy() for layer in encoder.layers]
    assert not np.allclose(drawn[0], drawn[1])
    assert not np.allclose(drawn[1], drawn[2])


def test_nothing_leaks_from_the_future_or_from_padding():
    model = nn.Transformer(*SIZES[:2], 1, 1, FF, 0.0).to("float64")
    rng = np.random.default_rng(0)
    src, tgt = rng.standard_normal((S, B, E)), rng.standard_normal((T, B, E))
    blocked = mg.asarray(padding(S))

    def run(src, tgt):
        y = model(
            mg.asarray(src), mg.asarray(tgt), src_key_padding_mask=blocked,
            memory_key_padding_mask=blocked, tgt_is_causal=True,
        )  # fmt: skip
        return y.detach().numpy()

    before = run(src, tgt)
    later, padded = tgt.copy(), src.copy()
    later[2:] += 1
    padded[padding(S).T] = 100.0
    np.testing.assert_allclose(run(src, later)[:2], before[:2], rtol=1e-12)
    assert not np.allclose(run(src, later)[2:], before[2:])
    np.testing.assert_allclose(run(padded, tgt), before, rtol=1e-9)


def test_dropout_acts_in_training_only():
    layer = nn.TransformerEncoderLayer(E, HEADS, FF, 0.5)
    x = mg.ones((T, B, E))
    assert not np.array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())


def test_second_order():
    layer = nn.TransformerEncoderLayer(4, 2, 3, 0.0, "gelu").to("float64")
    x = np.random.default_rng(1).standard_normal((3, 1, 4))
    assert gradcheck(layer, x)
    assert gradgradcheck(layer, x)


def test_strict_device(parity):
    model = nn.Transformer(E, HEADS, 1, 1, FF, 0.0).to("float64")
    parity.assert_same_on_the_strict_device(
        model, parity.array(S, B, E), parity.array(T, B, E), tgt_is_causal=True
    )


def test_errors():
    layer = nn.TransformerEncoderLayer(*SIZES)
    with pytest.raises(ShapeError, match="TransformerEncoderLayer: src"):
        layer(mg.zeros((T, B, E + 1)))
    with pytest.raises(ShapeError, match="memory"):
        nn.TransformerDecoderLayer(*SIZES)(mg.zeros((T, B, E)), mg.zeros((E,)))
    with pytest.raises(ConfigError, match="activation"):
        nn.TransformerEncoderLayer(*SIZES, activation="tanhh")
    with pytest.raises(ConfigError, match="num_layers"):
        nn.TransformerEncoder(layer, 0)
    with pytest.raises(ShapeError, match="share the batch"):
        nn.Transformer(E, HEADS, 1, 1, FF)(mg.zeros((T, 2, E)), mg.zeros((T, 3, E)))


# -- the function --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}], ids=str)
def test_scaled_dot_product_attention(parity, options):
    f = parity.torch.nn.functional.scaled_dot_product_attention
    q, k, v = (parity.array(2, 3, 5, 4, seed=i) for i in range(3))
    parity.assert_parity(nn.functional.scaled_dot_product_attention, f, q, k, v, **options)
    if not options:
        allowed = np.tri(5, dtype=bool)
        parity.assert_parity(
            nn.functional.scaled_dot_product_attention, f, q, k, v, attn_mask=allowed
        )


def test_attention_dropout():
    q = mg.ones((1, 50, 4))
    y = nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
    assert not np.allclose(y.numpy(), 1)
    assert abs(y.numpy().mean() - 1) < 0.1


# -- positions -----------------------------------------------------------------------------------


def test_sinusoidal():
    layer = nn.SinusoidalPositionalEncoding(6)
    y = layer(mg.zeros((40, 2, 6), dtype="float64")).numpy()
    for t in (0, 1, 7, 39):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(y[t, :, 2 * i], math.sin(angle), rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(y[t, :, 2 * i + 1], math.cos(angle), rtol=1e-12)
    first = nn.SinusoidalPositionalEncoding(6, batch_first=True)
    np.testing.assert_array_equal(
        first(mg.zeros((2, 40, 6), dtype="float64")).numpy(), y.swapaxes(0, 1)
    )
    np.testing.assert_array_equal(layer(mg.zeros((40, 6), dtype="float64")).numpy(), y[:, 0])
    np.testing.assert_array_equal(layer(mg.zeros((3, 2, 6), dtype="float64"), 37).numpy(), y[37:])
    assert layer(mg.zeros((3, 2, 6))).dtype == np.float32
    assert not list(layer.state_dict())


def test_learned(parity):
    layer = nn.LearnedPositionalEmbedding(7, 4).to("float64")
    x = mg.tensor(parity.array(3, 2, 4), requires_grad=True)
    y = layer(x, offset=4)
    expected = x.numpy() + layer.weight.numpy()[4:, None]
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy()[:4], 0)
    np.testing.assert_array_equal(layer.weight.grad.numpy()[4:], 2)
    assert 0.01 < nn.LearnedPositionalEmbedding(50, 50).weight.numpy().std() < 0.03


@pytest.mark.parametrize("interleaved", [True, False])
def test_rotary(interleaved):
    rotary = nn.RotaryEmbedding(6, interleaved=interleaved)
    x = np.random.default_rng(0).standard_normal((2, 9, 8))
    y = rotary(mg.asarray(x)).numpy()
    for t in range(9):
        for i in range(3):
            a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + 3)
            turned = (x[:, t, a] + 1j * x[:, t, b]) * np.exp(1j * t / 10000 ** (2 * i / 6))
            np.testing.assert_allclose(y[:, t, a] + 1j * y[:, t, b], turned, rtol=1e-12)
    np.testing.assert_array_equal(y[..., 6:], x[..., 6:])
    assert gradcheck(rotary, x[:, :2])
    assert gradgradcheck(rotary, x[:1, :2])


def test_rotary_products_depend_on_distance_alone():
    rotary = nn.RotaryEmbedding(4)
    rng = np.random.default_rng(0)
    q, k = (mg.asarray(rng.standard_normal((1, 4))) for _ in range(2))
    near = (rotary(q, 5) * rotary(k, 2)).sum().item()
    far = (rotary(q, 105) * rotary(k, 102)).sum().item()
    assert abs(near - far) < 1e-12


@pytest.mark.parametrize(
    "layer",
    [
        nn.SinusoidalPositionalEncoding(8),
        nn.LearnedPositionalEmbedding(9, 8),
        nn.RotaryEmbedding(8),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_positions_on_the_strict_device(parity, layer):
    parity.assert_same_on_the_strict_device(layer.to("float64"), parity.array(4, 2, 8))


def test_position_errors():
    for wrong in (nn.SinusoidalPositionalEncoding, nn.RotaryEmbedding):
        with pytest.raises(ConfigError, match="even"):
            wrong(5)
    with pytest.raises(ShapeError, match="E = 8"):
        nn.SinusoidalPositionalEncoding(8)(mg.zeros((3, 2, 4)))
    with pytest.raises(ShapeError, match="max_len is 4"):
        nn.LearnedPositionalEmbedding(4, 8)(mg.zeros((3, 2, 8)), 2)
    with pytest.raises(ShapeError, match="RotaryEmbedding"):
        nn.RotaryEmbedding(8)(mg.zeros((3, 4)))
    for layer in (nn.SinusoidalPositionalEncoding(8), nn.RotaryEmbedding(8)):
        with pytest.raises(ConfigError, match="offset"):
            layer(mg.zeros((3, 8)), -1)
