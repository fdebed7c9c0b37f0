from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import ConfigError, ShapeError

pytest.importorskip("matplotlib")


def sequence(T=7, B=2, I=3):
    return mg.tensor(np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_hidden_gradients_are_derivatives_of_the_state(kind):
    mg.manual_seed(1)
    layer, x = getattr(nn, kind)(3, 4), sequence()
    norms = viz.hidden_gradients(layer, x)
    assert len(norms) == 7
    assert norms[-1] == pytest.approx(np.sqrt(8), rel=1e-5)  # of a sum over (2, 4)
    assert all(p.grad is None for p in layer.parameters())
    if kind != "LSTM":  # its c carries more than h does
        h = layer(x[:4])[1].detach()
        h.requires_grad_()
        layer(x[4:], h)[0][-1].sum().backward()
        assert norms[3] == pytest.approx(np.linalg.norm(h.grad.numpy()), rel=1e-4)


def test_gradient_through_time_draws_each_layer():
    x = sequence()
    figure = viz.gradient_through_time({"RNN": nn.RNN(3, 4), "GRU": nn.GRU(3, 4)}, x)
    assert [len(line.get_ydata()) for line in figure.axes[0].lines] == [7, 7]
    figure.canvas.draw()


def test_other_losses_and_other_layers():
    x = sequence()
    norms = viz.hidden_gradients(nn.RNN(3, 4), x, lambda y: y[2].sum())
    assert norms[3:] == [0, 0, 0, 0]
    with pytest.raises(ConfigError, match="no recurrent loop"):
        viz.hidden_gradients(nn.Linear(3, 4), x)


def test_gates():
    x = sequence()
    found = viz.gate_activations(nn.LSTM(3, 4), x)
    assert {name.split()[0] for name in found} == {"input", "forget", "candidate", "output"}
    assert all(values.shape == (4, 7) for values in found.values())
    assert all((values >= 0).all() for name, values in found.items() if "candidate" not in name)
    figure = viz.gate_map(nn.GRU(3, 4), x, tokens=list("abc$efg"))
    figure.canvas.draw()
    with pytest.raises(ShapeError, match="2 tokens for 7 steps"):
        viz.gate_map(nn.LSTM(3, 4), x, tokens=["a", "b"])
    with pytest.raises(ConfigError, match="no gates"):
        viz.gate_activations(nn.RNN(3, 4), x)


def test_spectrum_of_a_linear_map():
    values = viz.jacobian_spectrum(lambda x: mg.tensor([3.0, 2.0, 0.5]) * x, mg.zeros((3,)))
    np.testing.assert_allclose(values, [3.0, 2.0, 0.5], rtol=1e-6)
    viz.spectrum_plot({"diagonal": values, "zero": [0.0]}).canvas.draw()


def test_landscape_of_a_bowl_and_the_parameters_stay():
    w = mg.tensor(np.ones((2, 2), np.float32), requires_grad=True)
    b = mg.tensor(np.zeros(2, np.float32), requires_grad=True)
    before = w.numpy().copy()
    steps, losses = viz.landscape(lambda: ((w - 1) ** 2).sum() + (b**2).sum(), [w, b], points=5)
    assert losses.shape == (5, 5)
    assert losses[2, 2] == losses.min() == 0
    assert losses[4, 2] == pytest.approx(losses[0, 2], rel=1e-5)
    # One row of w has the norm √2, so a step of 1 along a direction of its norms moves it by √2.
    assert losses[4, 2] == pytest.approx(2 * 2, rel=1e-4)
    np.testing.assert_array_equal(w.numpy(), before)
    viz.landscape_plot(steps, losses).canvas.draw()


def test_landscape_restores_after_an_error():
    w = mg.tensor([1.0, 2.0], requires_grad=True)

    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        viz.landscape(broken, [w])
    np.testing.assert_array_equal(w.numpy(), [1.0, 2.0])
    with pytest.raises(ConfigError):
        viz.landscape(w.sum, [w], points=1)
