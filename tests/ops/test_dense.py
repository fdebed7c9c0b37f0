"""Linear with an activation: one line, the same bits as in two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ConfigError, ShapeError
from minigrad.ops.dense import FORWARD

ACTIVATIONS = sorted(FORWARD)


def arguments(*shape: int, dtype: Any = "float64") -> list[mg.Tensor]:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(dtype) for s in ((*shape, 4), (5, 4), (5,))]
    return [mg.tensor(a, requires_grad=True) for a in arrays]


def gradients(y: mg.Tensor, leaves: list[mg.Tensor]) -> list[Any]:
    weights = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    return [g.numpy() for g in mg.grad((y * mg.tensor(weights)).sum(), leaves)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_activation_of_linear(activation: str, dtype: str) -> None:
    leaves = arguments(6, 3, dtype=dtype)
    fused = mg.linear(*leaves, activation=activation)
    plain = getattr(mg, activation)(mg.linear(*leaves))
    assert (fused.numpy() == plain.numpy()).all()
    assert fused.node.op.name == "dense"
    assert all(isinstance(p, mg.Tensor) for p in fused.node.parents)  # one line
    for a, b in zip(gradients(fused, leaves), gradients(plain, leaves), strict=True):
        assert np.allclose(a, b, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_two_derivatives(activation: str) -> None:
    leaves = arguments(3)

    def f(*leaves: Any) -> Any:
        return mg.linear(*leaves, activation=activation)

    assert mg.testing.gradcheck(f, leaves)
    assert mg.testing.gradgradcheck(f, leaves)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("lead", [(), (0,), (1,), (2, 0), (2, 3, 2)])
def test_leading_axes(activation: str, lead: tuple[int, ...]) -> None:
    leaves = arguments(*lead)
    y = mg.linear(*leaves, activation=activation)
    assert y.shape == (*lead, 5)
    expected = gradients(getattr(mg, activation)(mg.linear(*leaves)), leaves)
    for a, b in zip(gradients(y, leaves), expected, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_arguments_stay_as_they_are(activation: str) -> None:
    x, weight, bias = arguments(6)
    strided = mg.tensor(np.asfortranarray(np.repeat(x.numpy(), 2, axis=0)[::2]), requires_grad=True)
    before = [t.numpy().copy() for t in (strided, weight, bias)]
    y = mg.linear(strided, weight, bias, activation=activation)
    y.sum().backward()
    assert np.allclose(y.numpy(), mg.linear(x, weight, bias, activation=activation).numpy())
    assert all((t.numpy() == a).all() for t, a in zip((strided, weight, bias), before, strict=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_bias_and_no_gradient(activation: str) -> None:
    x, weight, _ = arguments(6)
    y = mg.linear(x.detach(), weight, activation=activation)
    (g,) = gradients(y, [weight])
    (expected,) = gradients(getattr(mg, activation)(mg.linear(x.detach(), weight)), [weight])
    assert np.allclose(g, expected, rtol=1e-12)
    arrays = mg.linear(x.numpy(), weight.numpy(), activation=activation)
    assert type(arrays) is np.ndarray
    assert (arrays == y.numpy()).all()


def test_other_dtypes_beside_each_other() -> None:
    x, weight, bias = arguments(6)
    leaves = [x.float().detach().requires_grad_(), weight, bias]
    y = mg.linear(*leaves, activation="tanh")
    assert y.dtype == "float64"
    y.sum().backward()
    assert [t.grad.dtype for t in leaves] == ["float32", "float64", "float64"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_compiled_steps_do_the_same(activation: str) -> None:
    leaves = arguments(6)

    def step(x: Any) -> Any:
        for leaf in leaves[1:]:
            leaf.grad = None
        y = mg.linear(x, *leaves[1:], activation=activation)
        y.sum().backward()
        return y

    compiled, x = mg.compile(step), leaves[0].detach()
    for k in (1.0, 2.0, 3.0):
        expected = step(x * k).numpy()
        wanted = [leaf.grad.numpy().copy() for leaf in leaves[1:]]
        assert (compiled(x * k).numpy() == expected).all()
        for leaf, g in zip(leaves[1:], wanted, strict=True):
            assert np.allclose(leaf.grad.numpy(), g, rtol=1e-12)


@pytest.mark.parametrize("activation", ["softmax", "Tanh", 3, mg.tanh, ["tanh"]])
def test_another_activation_is_named(activation: Any) -> None:
    with pytest.raises(ConfigError, match=r"linear: activation is .*give 'gelu', 'relu'.* or None"):
        mg.linear(*arguments(2), activation=activation)
    with pytest.raises(ConfigError, match=r"Linear: activation is .*give 'gelu', 'relu'.* or None"):
        mg.nn.Linear(2, 3, activation=activation)


def test_wrong_shapes_are_those_of_linear() -> None:
    x, weight, bias = arguments(6)
    with pytest.raises(ShapeError, match=r"linear: x \(6, 4\) and weight \(4, 5\)"):
        mg.linear(x, weight.T, bias, activation="tanh")
    with pytest.raises(ShapeError, match=r"linear: bias \(4,\)"):
        mg.linear(x, weight, bias[:4], activation="tanh")


def test_a_layer_with_an_activation() -> None:
    plain, layer = mg.nn.Linear(4, 5), mg.nn.Linear(4, 5, activation="gelu")
    assert list(layer.state_dict()) == list(plain.state_dict())
    layer.load_state_dict(plain.state_dict())
    x = mg.randn(3, 4)
    assert (layer(x).numpy() == mg.gelu(plain(x)).numpy()).all()
