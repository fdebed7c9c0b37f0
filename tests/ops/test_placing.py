"""index_add, index_copy, gather, scatter, lerp, logcumsumexp, fold, and margins of copies."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.gradcheck import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
X, SOURCE = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 2))
INDEX = [3, 1]  # lists go to the device of x
EACH = [[0, 3], [2, 2], [1, 0]]
UNIQUE = [[0, 3], [2, 1], [1, 0]]

CALLS = {
    "index_add": (
        lambda x, s: mg.index_add(x, INDEX, s, axis=1, alpha=2),
        lambda t, x, s: x.index_add(1, t.tensor(INDEX), s, alpha=2),
    ),
    "index_add, repeated": (
        lambda x, s: mg.index_add(x, [1, 1], s, axis=-1),
        lambda t, x, s: x.index_add(1, t.tensor([1, 1]), s),
    ),
    "index_copy": (
        lambda x, s: mg.index_copy(x, INDEX, s, axis=1),
        lambda t, x, s: x.index_copy(1, t.tensor(INDEX), s),
    ),
    "scatter": (
        lambda x, s: mg.scatter(x, UNIQUE, s, axis=1),
        lambda t, x, s: x.scatter(1, t.tensor(UNIQUE), s),
    ),
    "scatter, added": (
        lambda x, s: mg.scatter(x, EACH, s, axis=1, reduce="sum"),
        lambda t, x, s: x.scatter_add(1, t.tensor(EACH), s),
    ),
    "scatter_add": (
        lambda x, s: mg.scatter_add(x, EACH, s, axis=1),
        lambda t, x, s: x.scatter_add(1, t.tensor(EACH), s),
    ),
    "scatter_add, a shorter index": (
        lambda x, s: mg.scatter_add(x, [[0], [2]], s, axis=1),
        lambda t, x, s: x.scatter_add(1, t.tensor([[0], [2]]), s[:2, :1]),
    ),
    "scatter, a shorter index": (
        lambda x, s: mg.scatter(x, [[2, 1]], s, axis=0),
        lambda t, x, s: x.scatter(0, t.tensor([[2, 1]]), s[:1]),
    ),
    "index_fill": (
        lambda x, s: mg.index_fill(x, INDEX, s[0, 0], axis=1),
        lambda t, x, s: x.index_fill(1, t.tensor(INDEX), s[0, 0]),
    ),
    "index_fill, a number": (
        lambda x, s: mg.index_fill(x, INDEX, 3.5, axis=1) * s.sum(),
        lambda t, x, s: x.index_fill(1, t.tensor(INDEX), 3.5) * s.sum(),
    ),
    "scatter, a number": (
        lambda x, s: mg.scatter(x, UNIQUE, 5.0, axis=-1) * s.sum(),
        lambda t, x, s: x.scatter(1, t.tensor(UNIQUE), 5.0) * s.sum(),
    ),
    "gather": (
        lambda x, s: mg.gather(x, EACH, axis=1) * s,
        lambda t, x, s: x.gather(1, t.tensor(EACH)) * s,
    ),
    "gather, fewer rows": (
        lambda x, s: mg.gather(x, EACH[:2], axis=1) * s[:2],
        lambda t, x, s: x.gather(1, t.tensor(EACH[:2])) * s[:2],
    ),
    "lerp": (
        lambda x, s: mg.lerp(x[:, :2], s, 0.3),
        lambda t, x, s: t.lerp(x[:, :2], s, 0.3),
    ),
    "logcumsumexp": (
        lambda x, s: mg.logcumsumexp(x, axis=1) * s.sum(),
        lambda t, x, s: t.logcumsumexp(x, 1) * s.sum(),
    ),
    "logcumsumexp, columns": (
        lambda x, s: mg.logcumsumexp(x * 300, axis=0) * s.sum(),
        lambda t, x, s: t.logcumsumexp(x * 300, 0) * s.sum(),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_same_as_torch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = CALLS[name]
    x, s = (mg.asarray(a.copy()).requires_grad_() for a in (X, SOURCE))
    u, v = (torch.tensor(a, requires_grad=True) for a in (X, SOURCE))
    y, z = ours(x, s), theirs(torch, u, v)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
    w = RNG.normal(size=y.shape)
    (y * mg.asarray(w)).sum().backward()
    (z * torch.tensor(w)).sum().backward()
    for a, b in ((x, u), (s, v)):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in CALLS if "columns" not in n])
def test_derivatives(name):
    assert gradcheck(CALLS[name][0], [X, SOURCE])
    assert gradgradcheck(CALLS[name][0], [X, SOURCE])


@pytest.mark.parametrize("name", CALLS)
def test_on_the_strict_device(name):
    call = CALLS[name][0]
    x, s = (mg.asarray(a, device="strict") for a in (X, SOURCE))
    expected = call(mg.asarray(X), mg.asarray(SOURCE)).numpy()
    np.testing.assert_allclose(call(x, s).numpy(), expected)


def test_negative_indices():
    y = mg.scatter(mg.zeros((1, 3)), mg.asarray([[-1]]), mg.ones((1, 1)), axis=1)
    assert y.tolist() == [[0, 0, 1]]


MODES = ["reflect", "symmetric", "edge", "wrap"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("widths", [1, (2, 0), ((1, 2), (0, 3)), 7])
def test_pad(mode, widths):
    np.testing.assert_array_equal(
        mg.pad(mg.asarray(X), widths, mode).numpy(), np.pad(X, widths, mode)
    )
    assert gradgradcheck(lambda x: mg.pad(x, widths, mode), X)


def test_pad_by_the_names_of_torch():
    x = mg.asarray(X)
    assert mg.array_equal(mg.pad(x, 2, "replicate"), np.pad(X, 2, "edge"))
    assert mg.array_equal(mg.pad(x, 2, "circular"), np.pad(X, 2, "wrap"))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: mg.pad(x, 1, "mean"), mg.errors.ConfigError, "replicate"),
        (lambda x: mg.pad(x[:0], 1, "edge"), mg.errors.ShapeError, "empty"),
        (lambda x: mg.unfold(x, 0, 9), mg.errors.ShapeError, "windows of 9"),
        (lambda x: mg.unfold(x, 0, 0), mg.errors.ConfigError, "size=0"),
        (lambda x: mg.fold(x, 0, 3), mg.errors.ShapeError, "exceed length 3"),
        (lambda x: mg.index_add(x, [0], x, axis=0), mg.errors.ShapeError, r"\(1, 4\)"),
        (lambda x: mg.index_copy(x, [[0]], x, axis=0), mg.errors.ShapeError, "vector"),
        (lambda x: mg.gather(x, np.zeros((4, 1), int), axis=1), mg.errors.ShapeError, "longer"),
        (lambda x: mg.scatter(x, EACH * 2, 1.0, axis=1), mg.errors.ShapeError, "longer"),
        (lambda x: mg.scatter(x, EACH, x[:, :1], axis=1), mg.errors.ShapeError, "shorter"),
        (lambda x: mg.scatter_add(x, EACH, x[0], axis=1), mg.errors.ShapeError, "shorter"),
        (lambda x: mg.index_fill(x, [0], x[0], axis=1), mg.errors.ShapeError, "a number"),
        (lambda x: mg.scatter(x, EACH, 1.0, axis=1, reduce="mul"), mg.errors.ConfigError, "sum"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(mg.asarray(X))
