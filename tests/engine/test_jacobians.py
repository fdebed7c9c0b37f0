"""jacfwd, jacrev and linearize against PyTorch's and against one another."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn


def draw(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).uniform(0.3, 1.5, shape))


def same(a, b, **tolerance):
    np.testing.assert_allclose(a.numpy(), b.numpy(), **(tolerance or {"rtol": 1e-10}))


BOTH = pytest.mark.parametrize("jac", ["jacfwd", "jacrev"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside PyTorch
@BOTH
def test_one_argument_is_pytorchs(jac):
    torch = pytest.importorskip("torch")
    x = draw(2, 3)
    mine = getattr(mg, jac)(lambda t: mg.exp(t) @ t.T)(x)
    theirs = getattr(torch.func, jac)(lambda t: torch.exp(t) @ t.T)(torch.tensor(x.numpy()))
    assert mine.shape == (2, 2, 2, 3)
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside PyTorch
@BOTH
def test_several_arguments_and_results_are_pytorchs(jac):
    torch = pytest.importorskip("torch")
    x, y, z = draw(3), draw(3, seed=1), draw(2, seed=2)

    def f(lib):
        return lambda a, b, c: (a * lib.sin(b), (b * b).sum() * c, c)

    mine = getattr(mg, jac)(f(mg), argnums=(0, 2))(x, y, z)
    tensors = [torch.tensor(t.numpy()) for t in (x, y, z)]
    theirs = getattr(torch.func, jac)(f(torch), argnums=(0, 2))(*tensors)
    assert len(mine) == 3
    for row, expected in zip(mine, theirs, strict=True):
        for j, e in zip(row, expected, strict=True):
            np.testing.assert_allclose(j.numpy(), e.numpy(), rtol=1e-10)


@BOTH
def test_constants_and_empty_arguments(jac):
    x = draw(2)
    assert getattr(mg, jac)(lambda t: mg.ones(3))(x).numpy().tolist() == np.zeros((3, 2)).tolist()
    assert getattr(mg, jac)(lambda t: t * 2)(mg.zeros(0)).shape == (0, 0)
    assert getattr(mg, jac)(lambda t: t * 2)(mg.tensor(3.0)).item() == 2


@pytest.mark.parametrize("outer", ["jacfwd", "jacrev"])
@pytest.mark.parametrize("inner", ["jacfwd", "jacrev"])
def test_nested_they_are_the_hessian(outer, inner):
    x = draw(4)

    def f(t):
        return (mg.exp(t) * t[0]).sum() ** 2

    same(getattr(mg, outer)(getattr(mg, inner)(f))(x), mg.hessian(f, x))


@BOTH
def test_they_can_be_differentiated_by_what_they_close_over(jac):
    x, w = draw(3), draw(3, seed=1).requires_grad_()
    j = getattr(mg, jac)(lambda t: mg.tanh(t * w))(x.requires_grad_())
    (j**2).sum().backward()
    expected = mg.grad((w**2 * (1 - mg.tanh(x * w) ** 2) ** 2).sum(), (x, w))
    same(x.grad, expected[0])
    same(w.grad, expected[1])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_linearize_is_jvp_through_recurrent_layers(kind):
    layer = kind(3, 4, dtype="float64")
    x = draw(5, 2, 3)
    calls = []

    def f(t):
        calls.append(1)
        return layer(t)[0]

    y, push = mg.linearize(f, x)
    same(y, layer(x)[0])
    assert not y.requires_grad
    for seed in range(3):
        t = draw(5, 2, 3, seed=seed)
        same(push(t), mg.jvp(lambda v: layer(v)[0], x, t)[1])
    assert len(calls) == 1
    same(push(t * 2 + 1), push(t) * 2 + push(mg.ones_like(t)))


def test_linearize_with_several_primals_and_results():
    a, b = draw(3), draw(3, seed=1)
    (product, first, _), push = mg.linearize(lambda a, b: (a * b, a, mg.ones(2)), a, b)
    da, db = draw(3, seed=2), draw(3, seed=3)
    dots = push(da, db)
    same(product, a * b)
    same(first, a)
    same(dots[0], da * b + a * db)
    same(dots[1], da)
    assert dots[2].numpy().tolist() == [0, 0]
    with pytest.raises(errors.ShapeError, match="linearize"):
        push(da)
    with pytest.raises(errors.ShapeError, match="linearize"):
        push(da, mg.ones(4))


def test_linearize_can_be_differentiated():
    x = draw(3).requires_grad_()
    _, push = mg.linearize(lambda t: t**3, x)
    push(mg.ones(3, dtype="float64")).sum().backward()
    same(x.grad, 6 * x.detach())


def test_gradients_of_nested_arguments():
    tree = {"w": draw(2, 3), "rest": [draw(2, seed=1), (draw(seed=2),)]}
    value, grads = mg.value_and_grad(lambda t, x: ((t["w"] @ x + t["rest"][0]) ** 2).sum())(
        tree, draw(3, seed=3)
    )
    r = tree["w"] @ draw(3, seed=3) + tree["rest"][0]
    same(value, (r**2).sum())
    same(grads["w"], 2 * r[:, None] * draw(3, seed=3))
    same(grads["rest"][0], 2 * r)
    assert grads["rest"][1][0].item() == 0
