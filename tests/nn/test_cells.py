"""RNNCell, LSTMCell, GRUCell: PyTorch's answers, the layers' answers, bad input."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DTypeError, ShapeError

CELLS = {"RNN": nn.RNNCell, "LSTM": nn.LSTMCell, "GRU": nn.GRUCell}
LAYERS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
kinds = pytest.mark.parametrize("kind", CELLS)


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def pair(state):
    return state if isinstance(state, tuple) else (state,)


OPTIONS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"bias": False}),
    ("GRU", {}),
]


@pytest.mark.parametrize("lead", [(3,), ()], ids=["batch", "alone"])
@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_as_in_torch(kind, options, lead):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, kind + "Cell")(4, 5, dtype=torch.float64, **options)
    ours = CELLS[kind](4, 5, dtype="float64", **options)
    ours.load_state_dict(theirs.state_dict())
    count = 2 if kind == "LSTM" else 1
    given = [random(*lead, 4), *(random(*lead, 5, seed=k) for k in range(count))]
    xs = [mg.asarray(a).requires_grad_() for a in given]
    ts = [torch.tensor(a, requires_grad=True) for a in given]
    new = pair(ours(xs[0], tuple(xs[1:]) if count == 2 else xs[1]))
    new_torch = pair(theirs(ts[0], tuple(ts[1:]) if count == 2 else ts[1]))
    for k, (a, b) in enumerate(zip(new, new_torch, strict=True)):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), atol=1e-12)
        v = random(*lead, 5, seed=k + 7)
        (a * mg.asarray(v)).sum().backward(retain_graph=True)
        (b * torch.tensor(v)).sum().backward(retain_graph=True)
    for a, b in zip([*xs, *ours.parameters()], [*ts, *theirs.parameters()], strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-12)
    fresh, fresh_torch = pair(ours(xs[0])), pair(theirs(ts[0]))
    np.testing.assert_allclose(fresh[0].numpy(), fresh_torch[0].detach().numpy(), atol=1e-12)


@kinds
def test_steps_are_the_layer(kind):
    layer, cell = LAYERS[kind](4, 5, dtype="float64"), CELLS[kind](4, 5, dtype="float64")
    state = layer.state_dict()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in state.items()})
    x = mg.asarray(random(6, 3, 4))
    y, last = layer(x)
    state = None
    for t in range(6):
        state = cell(x[t], state)
        np.testing.assert_allclose(pair(state)[0].numpy(), y[t].numpy(), atol=1e-14)
    for a, b in zip(pair(state), pair(last), strict=True):
        np.testing.assert_allclose(a.numpy(), b[0].numpy(), atol=1e-14)


@kinds
def test_gradients(kind):
    cell = CELLS[kind](2, 3, dtype="float64")

    def f(x, *states):
        return cell(x, states if len(states) == 2 else states[0])

    states = [random(2, 3, seed=k) for k in range(2 if kind == "LSTM" else 1)]
    assert mg.testing.gradcheck(f, [random(2, 2), *states])
    assert mg.testing.gradgradcheck(f, [random(2, 2), *states])


@kinds
def test_on_the_strict_device(kind):
    cell = CELLS[kind](4, 5, dtype="float64")
    x = random(3, 4)
    here = pair(cell(mg.asarray(x)))[0].numpy()
    there = pair(cell.to("strict")(mg.asarray(x, device="strict")))[0]
    np.testing.assert_allclose(there.numpy(), here, atol=1e-12)


@kinds
def test_bad_input(kind):
    cell, name = CELLS[kind](4, 5), kind + "Cell"
    with pytest.raises(ShapeError, match=rf"{name}: x has shape \(3, 6\), expected \(B, 4\)"):
        cell(mg.zeros((3, 6)))
    with pytest.raises(ShapeError, match=rf"{name}: x has shape \(1, 3, 4\)"):
        cell(mg.zeros((1, 3, 4)))
    with pytest.raises(DTypeError, match=f"{name}: x is int64, weight_ih is float32"):
        cell(mg.zeros((3, 4), dtype="int64"))
    wrong = mg.zeros((2, 5))
    with pytest.raises(ShapeError, match=rf"{name}: h has shape \(2, 5\), expected \(3, 5\)"):
        cell(mg.zeros((3, 4)), (wrong, wrong) if kind == "LSTM" else wrong)
    with pytest.raises(ConfigError, match=f"{name}: input_size and hidden_size must be positive"):
        CELLS[kind](4, 0)


def test_bad_states_and_options():
    with pytest.raises(ShapeError, match=r"LSTMCell: state must be the pair \(h, c\)"):
        nn.LSTMCell(4, 5)(mg.zeros((3, 4)), mg.zeros((3, 5)))
    with pytest.raises(ConfigError, match="RNNCell: nonlinearity is 'gelu'"):
        nn.RNNCell(4, 5, nonlinearity="gelu")
    assert repr(nn.GRUCell(4, 5, bias=False)).startswith("GRUCell(4, 5, bias=False)")
