"""functional_call: a module as a function of its parameters."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3, dtype="float64")
        self.out = nn.Linear(3, 5, dtype="float64")
        self.out.weight = self.embed.weight
        self.scales = [nn.Parameter(mg.ones(3, dtype="float64").data)]

    def forward(self, ids):
        return self.out(self.embed(ids) * self.scales[0])


def draw(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape))


def test_the_parameters_are_replaced_and_restored():
    model, other = nn.LSTM(3, 4, 2, dtype="float64"), nn.LSTM(3, 4, 2, dtype="float64")
    before = dict(model.named_parameters())
    x = draw(5, 2, 3)
    y, _ = nn.functional_call(model, other.state_dict(), x)
    np.testing.assert_array_equal(y.numpy(), other(x)[0].numpy())
    assert all(model.__dict__[k] is p for k, p in before.items())
    y, _ = nn.functional_call(model, {}, x)
    np.testing.assert_array_equal(y.numpy(), model(x)[0].numpy())


def test_shared_parameters_and_parameters_in_lists():
    model, ids = Tied(), mg.tensor([0, 3])
    params = {"embed.weight": draw(5, 3), "scales.0": draw(3, seed=1)}
    y = nn.functional_call(model, params, ids)
    w, s = params.values()
    np.testing.assert_allclose(y.numpy(), ((w[ids] * s) @ w.T + model.out.bias).numpy(), rtol=1e-12)
    with pytest.raises(errors.CheckpointError, match="two values"):
        nn.functional_call(model, {"embed.weight": w, "out.weight": w * 1}, ids)
    nn.functional_call(model, {"embed.weight": w, "out.weight": w}, ids)


def test_gradients_and_second_order_by_the_parameters():
    model, x = nn.GRU(3, 4, dtype="float64"), draw(5, 2, 3)
    params = dict(model.named_parameters())

    def loss(p):
        return (nn.functional_call(model, p, x)[0] ** 2).sum()

    value, grads = mg.value_and_grad(loss)(params)
    (model(x)[0] ** 2).sum().backward()
    for key, p in params.items():
        np.testing.assert_allclose(grads[key].numpy(), p.grad.numpy(), rtol=1e-12)
    _, dot = mg.jvp(
        lambda w: loss({**params, "weight_hh_l0": w}), model.weight_hh_l0, mg.ones((12, 4))
    )
    np.testing.assert_allclose(dot.item(), grads["weight_hh_l0"].numpy().sum(), rtol=1e-9)
    assert value.item() == pytest.approx(loss(params).item())


def test_it_is_restored_when_the_call_raises():
    model = nn.Linear(3, 2)
    weight = model.weight
    with pytest.raises(errors.MinigradError):
        nn.functional_call(model, {"weight": mg.zeros((2, 3))}, mg.zeros((4, 9)))
    assert model.weight is weight


def test_names_and_shapes_are_checked():
    model = nn.Linear(3, 2)
    with pytest.raises(errors.CheckpointError, match="no \\['w'\\]"):
        nn.functional_call(model, {"w": mg.zeros(3)}, mg.zeros((4, 3)))
    with pytest.raises(errors.ShapeError, match=r"\(3, 2\), expected \(2, 3\)"):
        nn.functional_call(model, {"weight": np.zeros((3, 2))}, mg.zeros((4, 3)))
    y = nn.functional_call(model, {"weight": np.zeros((2, 3), np.float32)}, mg.ones((4, 3)))
    np.testing.assert_array_equal(y.numpy()[0], model.bias.numpy())
