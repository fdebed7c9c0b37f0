"""Functions beyond the standard that are made of others: sums of products, quantiles."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ConfigError, DTypeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
A, B, V, W = (RNG.normal(size=s) for s in ((3, 4), (4, 2), (4,), (3,)))
BA, BB = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 4, 2))
X32, X2 = RNG.normal(size=(3, 2)), RNG.normal(size=2)

SUMS = [
    ("addmm", (X32, A, B)),
    ("addmm", (X2, A, B)),
    ("addmm", (RNG.normal(size=(3, 1)), A, B)),
    ("addmv", (W, A, V)),
    ("addmv", (np.array(0.5), A, V)),
    ("addr", (A, W, V)),
    ("baddbmm", (RNG.normal(size=(2, 3, 2)), BA, BB)),
    ("baddbmm", (X32, BA, BB)),
    ("addbmm", (X32, BA, BB)),
]


@pytest.mark.parametrize("options", [{}, {"beta": 0.5, "alpha": -2.0}, {"beta": 0}], ids=str)
@pytest.mark.parametrize(("name", "inputs"), SUMS)
def test_sums_of_products(name, inputs, options):
    torch = pytest.importorskip("torch")

    def f(*xs):
        return getattr(mg, name)(*xs, **options)

    expected = getattr(torch, name)(*map(torch.tensor, inputs), **options)
    found = f(*map(mg.tensor, inputs))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    free = inputs[1:] if options.get("beta") == 0 else inputs
    bound = inputs[: len(inputs) - len(free)]
    assert gradcheck(lambda *xs: f(*map(mg.tensor, bound), *xs), list(free))
    assert gradgradcheck(lambda *xs: f(*map(mg.tensor, bound), *xs), list(free))


def test_beta_0_does_not_look_at_x():
    y = mg.addmm(mg.full((3, 2), np.nan, dtype="float64"), mg.tensor(A), mg.tensor(B), beta=0)
    np.testing.assert_allclose(y.numpy(), A @ B)


@pytest.mark.parametrize("name", ["addcmul", "addcdiv"])
def test_elementwise(name):
    torch = pytest.importorskip("torch")
    xs = [RNG.uniform(0.5, 2, s) for s in ((3, 4), (4,), (3, 1))]
    for value in (1, -0.5):
        found = getattr(mg, name)(*map(mg.tensor, xs), value=value)
        expected = getattr(torch, name)(*map(torch.tensor, xs), value=value)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
        assert gradgradcheck(lambda *xs, v=value: getattr(mg, name)(*xs, value=v), xs)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mg.addmm(mg.ones((4, 2)), mg.ones((3, 4)), mg.ones((4, 2))),
        lambda: mg.addmm(mg.ones((1, 3, 2)), mg.ones((3, 4)), mg.ones((4, 2))),
        lambda: mg.addmm(mg.ones(2), mg.ones(4), mg.ones((4, 2))),
        lambda: mg.addmm(mg.ones(2), mg.ones((3, 5)), mg.ones((4, 2))),
        lambda: mg.addmv(mg.ones(2), mg.ones((3, 4)), mg.ones(4)),
        lambda: mg.baddbmm(mg.ones(2), mg.ones((3, 4)), mg.ones((4, 2))),
    ],
)
def test_shapes_that_do_not_fit(call):
    with pytest.raises(ShapeError, match=r"(add|matmul)\w*"):
        call()


# -- quantiles -------------------------------------------------------------------------------------

METHODS = ["linear", "lower", "higher", "midpoint", "nearest"]
X = RNG.permutation(np.linspace(-3, 4, 24) ** 3).reshape(2, 3, 4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("q", [0.3, 0.0, [0.1, 0.5, 1.0], np.array([0.25])], ids=str)
@pytest.mark.parametrize("axis", [None, 0, -1, 1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_quantile(axis, q, keepdims, method):
    options = {"axis": axis, "keepdims": keepdims}
    expected = np.quantile(X, q, method=method, **options)
    found = mg.quantile(mg.tensor(X), q, interpolation=method, **options)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    torch = pytest.importorskip("torch")
    theirs = torch.quantile(
        torch.tensor(X), torch.tensor(q, dtype=torch.float64),
        axis, keepdim=keepdims, interpolation=method,
    )  # fmt: skip
    np.testing.assert_allclose(found.numpy(), theirs.numpy(), rtol=1e-12)


def test_quantile_over_several_axes():
    found = mg.quantile(mg.tensor(X), [0.2, 0.7], axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(
        found.numpy(), np.quantile(X, [0.2, 0.7], axis=(0, 2), keepdims=True), rtol=1e-12
    )


@pytest.mark.parametrize("x", [X, X[0, 0], X[:, :, 0]], ids=["24", "4", "6"])
def test_median_is_the_lower_middle(x):
    torch = pytest.importorskip("torch")
    assert mg.median(mg.tensor(x)).item() == torch.median(torch.tensor(x)).item()
    found = mg.median(mg.tensor(x), axis=0, keepdims=True).numpy()
    expected = torch.median(torch.tensor(x), 0, keepdim=True).values.numpy()
    np.testing.assert_array_equal(found, expected)
    assert mg.median(mg.tensor([3, 1, 2, 0])).item() == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.quantile(x, [0.3, 0.9], axis=1),
        lambda x: mg.quantile(x, 0.5),
        lambda x: mg.quantile(x, 0.4, axis=(0, 2), interpolation="midpoint", keepdims=True),
        lambda x: mg.median(x, axis=-1),
        mg.median,
    ],
)
def test_quantiles_are_differentiable(f):
    assert gradcheck(f, X)
    assert gradgradcheck(lambda x: f(x * x * x), X / 10)
    strict = f(mg.asarray(X, device="strict")).numpy()
    np.testing.assert_allclose(strict, f(mg.asarray(X)).numpy())


def test_nan_comes_through_quantiles():
    x = X[0].copy()
    x[1, 2] = np.nan
    for found in (mg.quantile(mg.tensor(x), 0.5, axis=1), mg.median(mg.tensor(x), axis=1)):
        assert np.isnan(found.numpy()).tolist() == [False, True, False]
    assert mg.median(mg.tensor(x.astype("float32"))).dtype == mg.float32


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda: mg.quantile(mg.ones((2, 0)), 0.5, axis=1)),
        (ShapeError, lambda: mg.median(mg.ones(0))),
        (ShapeError, lambda: mg.quantile(mg.ones(2), 0.5, axis=1)),
        (ConfigError, lambda: mg.quantile(mg.ones(2), 1.5)),
        (ConfigError, lambda: mg.quantile(mg.ones(2), [[0.5]])),
        (ConfigError, lambda: mg.quantile(mg.ones(2), 0.5, interpolation="cubic")),
        (DTypeError, lambda: mg.quantile(mg.ones(2, dtype=mg.int64), 0.5)),
    ],
)
def test_errors_of_quantiles(error, call):
    with pytest.raises(error):
        call()


def test_numpys_own_quantiles():
    x = mg.tensor(X, requires_grad=True)
    for found, expected in [
        (np.median(x, axis=1), np.median(X, axis=1)),
        (np.quantile(x, [0.2, 0.9]), np.quantile(X, [0.2, 0.9])),
        (np.percentile(x, 30, axis=0, method="lower"), np.percentile(X, 30, 0, method="lower")),
    ]:
        assert found.requires_grad
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12)
