"""checkpoint_sequential and checkpoint_sequence: the same values and gradients, less memory."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn


def draw(*shape, seed=0, dtype="float64"):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=dtype)


def gradients(f, x, params):
    x = x.detach().requires_grad_()
    y = f(x)
    return [y, *mg.grad((y * mg.sin(y)).sum(), [x, *params])]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("segments", [None, 1, 2, 5, 9])
def test_layers_one_after_the_other(segments):
    layers = [f for _ in range(3) for f in (nn.Linear(4, 4, dtype="float64"), mg.tanh)]
    params = [p for f in layers if isinstance(f, nn.Module) for p in f.parameters()]
    calls = nn.Sequential(*[f for f in layers if isinstance(f, nn.Module)])
    assert len(list(calls)) == 3

    def plain(x):
        for f in layers:
            x = f(x)
        return x

    x = draw(2, 4)
    found = gradients(lambda t: mg.checkpoint_sequential(layers, segments, t), x, params)
    assert_same(found, gradients(plain, x, params))


@pytest.mark.parametrize("segments", [None, 1, 3, 11, 50])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("lengths", [None, [11, 4, 0]])
def test_a_sequence_in_stretches(kind, segments, lengths):
    layer = kind(3, 4, 2, dtype="float64")
    params = list(layer.parameters())
    x, more = draw(11, 3, 3), [] if lengths is None else [lengths]
    state = draw(2, 3, 4, seed=1)
    state = (state, state * 2) if kind is nn.LSTM else state

    def outputs(y, last):
        last = last if isinstance(last, tuple) else (last,)
        return mg.concat([y, *last])

    for start in (None, state):
        found = gradients(
            lambda t, start=start: outputs(
                *mg.checkpoint_sequence(layer, t, start, lengths, segments=segments)
            ),
            x,
            params,
        )
        expected = gradients(lambda t, start=start: outputs(*layer(t, start, *more)), x, params)
        assert_same(found, expected)


def test_batch_first_and_second_order():
    layer = nn.GRU(3, 4, batch_first=True, dtype="float64")
    x = draw(2, 9, 3)

    def loss(t):
        return (mg.checkpoint_sequence(layer, t)[0] ** 2).sum()

    v = draw(2, 9, 3, seed=1)
    assert_same([mg.hvp(loss, x, v)], [mg.hvp(lambda t: (layer(t)[0] ** 2).sum(), x, v)])


def test_the_memory_of_a_long_sequence_is_that_of_a_few_stretches():
    layer = nn.LSTM(8, 32)
    x = draw(900, 4, 8, dtype="float32")

    def peak(f):
        gc.collect()
        tracemalloc.start()
        y = f()[0]
        kept = tracemalloc.get_traced_memory()[0]
        y.sum().backward()
        tracemalloc.stop()
        return kept - y.nbytes

    whole = peak(lambda: layer(x))
    parts = peak(lambda: mg.checkpoint_sequence(layer, x))
    assert parts < whole / 4


def test_arguments_without_a_meaning():
    x = draw(5, 2, 3)
    with pytest.raises(errors.ConfigError, match="segments"):
        mg.checkpoint_sequential([mg.sin], 0, x)
    with pytest.raises(errors.ConfigError, match="segments"):
        mg.checkpoint_sequence(nn.GRU(3, 4, dtype="float64"), x, segments=0)
    with pytest.raises(errors.ConfigError, match="backward"):
        mg.checkpoint_sequence(nn.GRU(3, 4, bidirectional=True, dtype="float64"), x)
    with pytest.raises(errors.ShapeError, match="no axis 3"):
        mg.checkpoint_sequence(nn.GRU(3, 4, dtype="float64"), x, axis=3)
    assert mg.checkpoint_sequential([], None, x) is x
