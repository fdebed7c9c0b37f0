"""Any cell in one scan: lengths, dropout, zoneout, weight drop; LSTM cells nobody else has."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

T, B, I, H = 5, 4, 3, 2
LENGTHS = [5, 0, 2, 3]
CELLS = [nn.RNNCell, nn.GRUCell, nn.LSTMCell, nn.LayerNormLSTMCell, nn.PeepholeLSTMCell]


def real(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def flat(state):
    return state if isinstance(state, tuple) else (state,)


class Counter(nn.Module):
    """A cell of one's own: one state with two axes beside the batch, no parameters."""

    def forward(self, x, state=None):
        state = mg.zeros((len(x), 2, I), dtype=x.dtype) if state is None else state
        return state * 0.5 + mg.expand_dims(x, 1)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize(("cell", "layer"), [("RNN", "RNN"), ("LSTM", "LSTM"), ("GRU", "GRU")])
def test_same_as_the_fused_layers(cell, layer, lengths, reverse):
    fused = getattr(nn, layer)(I, H).to("float64")
    scanned = nn.CellRNN(getattr(nn, f"{cell}Cell")(I, H)).to("float64")
    for p, q in zip(scanned.parameters(), fused.parameters(), strict=True):
        p.assign_(q.numpy())
    found = []
    for module in (scanned, fused):
        x = mg.tensor(real(T, B, I), requires_grad=True)
        y, state = module(x, lengths=lengths, reverse=reverse)
        total = (y * y).sum() + sum((s * s).sum() for s in flat(state))
        total.backward()
        found.append(
            [y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in module.parameters())]
        )
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.__name__)
def test_a_batch_is_each_sequence_alone(cell, reverse):
    layer = nn.CellRNN(cell(I, H)).to("float64")
    values = real(T, B, I)
    for b, n in enumerate(LENGTHS):
        values[n:, b] = np.nan
    x = mg.tensor(values, requires_grad=True)
    start = layer(mg.zeros((0, B, I), dtype="float64"))[1]
    start = tuple(
        mg.tensor(real(*s.shape, seed=i), requires_grad=True) for i, s in enumerate(flat(start))
    )
    given = start if len(start) > 1 else start[0]
    y, state = layer(x, given, LENGTHS, reverse=reverse)
    ((y * y).sum() + sum((s**3).sum() for s in flat(state))).backward()
    whole = [p.grad.numpy() for p in layer.parameters()]
    layer.zero_grad()
    for b, n in enumerate(LENGTHS):
        alone = mg.tensor(values[:n, b : b + 1], requires_grad=True)
        s0 = tuple(mg.tensor(s.numpy()[b : b + 1], requires_grad=True) for s in start)
        y1, s1 = layer(alone, s0 if len(s0) > 1 else s0[0], reverse=reverse)
        ((y1 * y1).sum() + sum((s**3).sum() for s in flat(s1))).backward()
        np.testing.assert_allclose(y.detach().numpy()[:n, b], y1.detach().numpy()[:, 0], rtol=1e-12)
        assert not y.detach().numpy()[n:, b].any()
        for s, t in zip(flat(state), flat(s1), strict=True):
            np.testing.assert_allclose(s.detach().numpy()[b], t.detach().numpy()[0], rtol=1e-12)
        if n:
            np.testing.assert_allclose(x.grad.numpy()[:n, b], alone.grad.numpy()[:, 0], rtol=1e-9)
        assert not x.grad.numpy()[n:, b].any()
        for s, t in zip(start, s0, strict=True):
            np.testing.assert_allclose(s.grad.numpy()[b], t.grad.numpy()[0], rtol=1e-9)
    for p, expected in zip(layer.parameters(), whole, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_a_cell_of_ones_own():
    layer = nn.CellRNN(Counter(), batch_first=True)
    x = real(B, T, I)
    y, state = layer(mg.asarray(x), lengths=LENGTHS)
    assert y.shape == (B, T, 2, I)
    expected = np.zeros((B, I))
    for t in range(T):
        on = np.array(LENGTHS)[:, None] > t
        expected = np.where(on, expected * 0.5 + x[:, t], expected)
        np.testing.assert_allclose(y.numpy()[:, t, 1], np.where(on, expected, 0), rtol=1e-12)
    np.testing.assert_allclose(state.numpy()[:, 0], expected, rtol=1e-12)


def test_shapes():
    layer = nn.CellRNN(nn.LSTMCell(I, H))
    y, (h, c) = layer(mg.zeros((T, I)))
    assert (y.shape, h.shape, c.shape) == ((T, H), (H,), (H,))
    y, (h, c) = layer(mg.zeros((T, I)), (h, c))
    assert y.shape == (T, H)
    y, (h, c) = layer(mg.zeros((0, B, I)))
    assert (y.shape, h.shape) == ((0, B, H), (B, H))
    y, _ = layer(mg.zeros((T, 0, I)), lengths=[])
    assert y.shape == (T, 0, H)
    y, _ = layer(mg.zeros((T, B, I)), lengths=[0] * B)
    assert y.shape == (T, B, H)


def test_in_both_directions():
    both = nn.Bidirectional(nn.CellRNN(nn.PeepholeLSTMCell(I, H)))
    values = mg.asarray(real(T, B, I), dtype="float32")
    y, (_, last) = both(values, lengths=LENGTHS)
    assert y.shape == (T, B, 2 * H)
    own, state = both.backward_layer(values, lengths=LENGTHS, reverse=True)
    np.testing.assert_allclose(y.detach().numpy()[:, :, H:], own.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(last[0].detach().numpy(), state[0].detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("cell", CELLS[3:], ids=lambda c: c.__name__)
def test_derivatives_and_the_strict_device(cell):
    layer = nn.CellRNN(cell(I, H)).to("float64")
    x = real(2, 2, I)

    def f(x):
        y, state = layer(x, lengths=[2, 1])
        return y, *state

    assert gradcheck(f, x)
    assert gradgradcheck(f, x)
    parity = pytest.importorskip("tests.nn.parity")

    class Outputs(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            y, state = self.layer(x, lengths=LENGTHS)
            return y, *state

    parity.assert_same_on_the_strict_device(Outputs(), real(T, B, I))


# -- the cells -----------------------------------------------------------------------------------


def test_layer_norm_lstm_by_hand():
    cell = nn.LayerNormLSTMCell(I, H).to("float64")
    for i, p in enumerate(cell.parameters()):
        p.assign_(real(*p.shape, seed=i))
    p = {name: value.numpy() for name, value in cell.named_parameters()}
    x, h, c = real(B, I), real(B, H), real(B, H, seed=1)

    def norm(v, name):
        v = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)
        return v * p[f"{name}.weight"] + p[f"{name}.bias"]

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    gates = norm(x @ p["weight_ih"].T, "norm_ih") + norm(h @ p["weight_hh"].T, "norm_hh")
    i, f, g, o = np.split(gates, 4, axis=-1)
    c1 = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h1 = sigmoid(o) * np.tanh(norm(c1, "norm_c"))
    found = cell(mg.asarray(x), (mg.asarray(h), mg.asarray(c)))
    for a, b in zip(found, (h1, c1), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-12)
    assert cell(mg.zeros(I, dtype="float64"))[0].shape == (H,)
    fresh = nn.LayerNormLSTMCell(I, H)
    assert (fresh.norm_ih.weight.numpy() == 1).all()
    fresh.reset_parameters()
    assert (fresh.norm_ih.weight.numpy() == 1).all()


def test_peephole_lstm_by_hand():
    cell = nn.PeepholeLSTMCell(I, H).to("float64")
    p = {name: value.numpy() for name, value in cell.named_parameters()}
    x, h, c = real(B, I), real(B, H), real(B, H, seed=1)
    gates = x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
    i, f, g, o = np.split(gates, 4, axis=-1)
    i = 1 / (1 + np.exp(-(i + p["weight_ci"] * c)))
    f = 1 / (1 + np.exp(-(f + p["weight_cf"] * c)))
    c1 = f * c + i * np.tanh(g)
    h1 = 1 / (1 + np.exp(-(o + p["weight_co"] * c1))) * np.tanh(c1)
    state = mg.asarray(h), mg.asarray(c)
    for a, b in zip(cell(mg.asarray(x), state), (h1, c1), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-12)
    plain = nn.LSTMCell(I, H).to("float64")
    plain.load_state_dict(cell.state_dict(), strict=False)
    for name in ("weight_ci", "weight_cf", "weight_co"):
        getattr(cell, name).assign_(0)
    for a, b in zip(cell(mg.asarray(x), state), plain(mg.asarray(x), state), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)


# -- dropout -------------------------------------------------------------------------------------


class Sum(nn.Module):
    """s + x: shows what the scan feeds it."""

    def forward(self, x, state=None):
        return x if state is None else state + x


def test_one_dropout_mask_for_all_steps():
    layer = nn.CellRNN(Sum(), dropout=0.5)
    y, _ = layer(mg.ones((T, 20, 30)))
    steps = np.diff(y.numpy(), axis=0, prepend=0)
    assert set(np.unique(steps)) == {0, 2}
    assert (steps == steps[0]).all()
    assert (layer.eval()(mg.ones((T, 20, 30)))[0].numpy()[-1] == T).all()


def test_recurrent_dropout_uses_one_mask_and_spares_the_state_itself():
    layer = nn.CellRNN(Sum(), recurrent_dropout=0.5)
    y, state = layer(mg.ones((3, 20, 30)), lengths=[3] * 19 + [0])
    values = y.numpy()[:, :19]
    assert set(np.unique(values[2])) == {1, 1 + 2 * (1 + 2)}  # dropped at each step, or at none
    assert not state.numpy()[19].any()
    assert (layer.eval()(mg.ones((3, 2, 3)))[0].numpy()[-1] == 3).all()


def test_zoneout():
    layer = nn.CellRNN(Sum(), zoneout=0.25)
    y, _ = layer(mg.ones((40, 50, 30)))
    steps = np.diff(y.numpy(), axis=0, prepend=0)
    assert set(np.unique(steps)) == {0, 1}
    assert 0.74 < steps.mean() < 0.76
    assert not (steps == steps[0]).all()
    y, _ = layer.eval()(mg.ones((4, 2, 3)))
    np.testing.assert_allclose(y.numpy()[:, 0, 0], 0.75 * np.arange(1, 5))
    lstm = nn.CellRNN(nn.LSTMCell(I, H), zoneout=(0, 1))
    _, (h, c) = lstm(mg.ones((T, B, I)))
    assert h.numpy().any()
    assert not c.numpy().any()


def test_noise_respects_lengths():
    layer = nn.CellRNN(nn.LSTMCell(I, H), False, 0.3, 0.3, 0.3)
    y, (h, _) = layer(mg.ones((T, B, I)), lengths=LENGTHS)
    for b, n in enumerate(LENGTHS):
        assert not y.numpy()[n:, b].any()
        np.testing.assert_array_equal(h.numpy()[b], y.numpy()[n - 1, b] if n else 0)


def test_weight_drop():
    plain = nn.LSTM(I, 30, num_layers=2)
    layer = nn.WeightDrop(plain, dropout=0.5)
    assert layer.weights == ("weight_hh_l0", "weight_hh_l1")
    assert [n for n, _ in layer.named_parameters()] == [f"module.{n}" for n in plain.state_dict()]
    x = mg.ones((T, B, I))
    a, b = layer(x)[0], layer(x)[0]
    assert not np.allclose(a.numpy(), b.numpy())
    a.sum().backward()
    dropped = plain.weight_hh_l0.grad.numpy() == 0
    assert 0.45 < dropped.mean() < 0.55
    assert (plain.weight_ih_l0.grad.numpy() != 0).all()
    assert isinstance(plain.weight_hh_l0, nn.Parameter)
    layer.eval()
    np.testing.assert_array_equal(
        layer(x, lengths=LENGTHS)[0].numpy(), plain(x, lengths=LENGTHS)[0].numpy()
    )


def test_weight_drop_is_undone_after_an_error():
    layer = nn.WeightDrop(nn.LSTM(I, H))
    raw = layer.module.weight_hh_l0
    with pytest.raises(ShapeError):
        layer(mg.ones((T, B, I + 1)))
    assert layer.module.weight_hh_l0 is raw


def test_weight_drop_in_both_directions_and_by_name():
    both = nn.Bidirectional(nn.WeightDrop(nn.GRU(I, H, batch_first=True)))
    assert both(mg.ones((B, T, I)), lengths=LENGTHS)[0].shape == (B, T, 2 * H)
    linear = nn.WeightDrop(nn.Linear(40, 40), ["weight"], 0.5)
    linear(mg.ones((1, 40))).sum().backward()
    assert (linear.module.weight.grad.numpy() == 0).any()


def test_errors():
    with pytest.raises(ConfigError, match="probability"):
        nn.CellRNN(Sum(), zoneout=1.5)
    with pytest.raises(ConfigError, match="2 zoneout rates for 1"):
        nn.CellRNN(Sum(), zoneout=(0.1, 0.2))(mg.ones((T, B, I)))
    with pytest.raises(ShapeError, match="CellRNN"):
        nn.CellRNN(Sum())(mg.ones(3))
    with pytest.raises(ShapeError, match="lengths"):
        nn.CellRNN(Sum())(mg.ones((T, B, I)), lengths=[6] * B)
    with pytest.raises(ConfigError, match="weight_ih_l0"):
        nn.WeightDrop(nn.LSTM(I, H), ["weight_hh"])
    with pytest.raises(ConfigError, match="Linear"):
        nn.WeightDrop(nn.Linear(3, 2))
    with pytest.raises(ConfigError, match="probability"):
        nn.WeightDrop(nn.LSTM(I, H), dropout=2)
