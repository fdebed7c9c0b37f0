"""scatter with a reduction: PyTorch's values and gradients, second order, edges, errors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import AxisError, ConfigError, IndexRangeError
from minigrad.testing.gradcheck import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
REDUCTIONS = ["sum", "mean", "prod", "amax", "amin"]
INDEX = {0: RNG.integers(0, 3, (4, 4)), 1: RNG.integers(0, 4, (3, 5))}
X = RNG.normal(size=(3, 4))
SOURCE = {0: RNG.normal(size=(4, 4)), 1: RNG.normal(size=(3, 5))}

reductions = pytest.mark.parametrize("reduce", REDUCTIONS)
with_or_without = pytest.mark.parametrize("include_self", [True, False])


def scattered(x, source, *, axis, reduce, include_self=True):
    return mg.scatter(
        x, INDEX[axis].tolist(), source, axis=axis, reduce=reduce, include_self=include_self
    )


@reductions
@with_or_without
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("values", ["any", "equal ones and zeros"])
def test_same_as_torch(reduce, include_self, axis, values):
    torch = pytest.importorskip("torch")
    x, s = X.copy(), SOURCE[axis].copy()
    if values != "any":
        x, s = x.round() if include_self else x, s.round()  # without it PyTorch counts x as a tie
    a, b = mg.tensor(x, requires_grad=True), mg.tensor(s, requires_grad=True)
    u, v = torch.tensor(x, requires_grad=True), torch.tensor(s, requires_grad=True)
    y = scattered(a, b, axis=axis, reduce=reduce, include_self=include_self)
    z = u.scatter_reduce(axis, torch.tensor(INDEX[axis]), v, reduce, include_self=include_self)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-12)
    w = RNG.normal(size=y.shape)
    (y * mg.asarray(w)).sum().backward()
    (z * torch.tensor(w)).sum().backward()
    for mine, theirs in ((a, u), (b, v)):
        np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


@reductions
@with_or_without
@pytest.mark.parametrize("axis", [0, 1])
def test_derivatives(reduce, include_self, axis):
    x, s = X, SOURCE[axis]
    if reduce == "prod":  # exact where one factor is 0, and where two are
        x, s = np.where(np.eye(3, 4), 0, x), np.where(s < -0.5, 0, s)

    def f(x, s):
        return scattered(x, s, axis=axis, reduce=reduce, include_self=include_self)

    assert gradcheck(f, [x, s])
    assert gradgradcheck(f, [x, s])


@reductions
@with_or_without
def test_on_the_strict_device(reduce, include_self):
    options = {"axis": 1, "reduce": reduce, "include_self": include_self}
    x, s = (mg.asarray(a, device="strict").requires_grad_() for a in (X, SOURCE[1]))
    y = scattered(x, s, **options)
    expected = scattered(mg.asarray(X), mg.asarray(SOURCE[1]), **options)
    np.testing.assert_allclose(y.numpy(), expected.numpy())
    y.sum().backward()
    assert s.grad is not None


@reductions
def test_in_a_program_and_for_each_example(reduce):
    x, s = mg.tensor(X), mg.tensor(SOURCE[1])
    expected = scattered(x, s, axis=1, reduce=reduce).numpy()
    compiled = mg.compile(lambda x, s: scattered(x, s, axis=1, reduce=reduce))
    for _ in range(3):
        np.testing.assert_array_equal(compiled(x, s).numpy(), expected)
    index = mg.tensor(INDEX[1])
    each = mg.vmap(lambda x, i, s: mg.scatter(x, i, s, axis=0, reduce=reduce))(x, index, s)
    np.testing.assert_allclose(each.numpy(), expected, rtol=1e-12)


def test_evenly_among_those_that_attain_it():
    x, s = mg.tensor([1.0, 5.0], requires_grad=True), mg.tensor([5.0, 5.0, 2.0], requires_grad=True)
    mg.scatter(x, [1, 1, 1], s, axis=0, reduce="amax").sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 1 / 3])
    np.testing.assert_allclose(s.grad.numpy(), [1 / 3, 1 / 3, 0])
    x.grad = s.grad = None
    mg.scatter(x, [1, 1, 1], s, axis=0, reduce="amax", include_self=False).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 0])  # what is left out has no share
    np.testing.assert_allclose(s.grad.numpy(), [0.5, 0.5, 0])


@pytest.mark.parametrize(
    ("reduce", "include_self", "expected"),
    [
        ("sum", False, [9, 5]), ("mean", True, [4, 5]), ("mean", False, [4, 5]),
        ("prod", True, [60, 5]), ("amax", False, [5, 5]), ("amin", False, [4, 5]),
    ],
)  # fmt: skip
def test_integers(reduce, include_self, expected):
    x, s = mg.tensor([3, 5]), mg.tensor([4, 5])
    y = mg.scatter(x, [0, -2], s, axis=0, reduce=reduce, include_self=include_self)
    assert y.tolist() == expected
    assert y.dtype == np.int64


@reductions
@with_or_without
@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (3, 0), (5,)])
def test_nothing_to_scatter(reduce, include_self, shape):
    x = mg.tensor(RNG.normal(size=shape), requires_grad=True)
    index = np.zeros((*shape[:-1], 0), int)
    options = {"axis": -1, "reduce": reduce, "include_self": include_self}
    y = mg.scatter(x, index, np.zeros(index.shape), **options)
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones(shape))


@reductions
def test_shorter_indices_and_numbers(reduce):
    x = mg.tensor(X)
    y = mg.scatter(x, [[2, -4]], 2.0, axis=1, reduce=reduce)
    one = mg.scatter(x[0], [2, 0], 2.0, axis=0, reduce=reduce)
    np.testing.assert_allclose(y.numpy(), np.concatenate([one.numpy()[None], X[1:]]))


@pytest.mark.parametrize("reduce", [None, *REDUCTIONS])
@pytest.mark.parametrize("index", [4, -5])
def test_an_index_outside_the_axis(reduce, index):
    with pytest.raises(IndexRangeError, match=f"scatter: index {index} is .* length 4"):
        mg.scatter(mg.tensor(X), [[index], [0], [0]], 1.0, axis=1, reduce=reduce)
    with pytest.raises(IndexRangeError, match=f"index_add: index {index} is .* length 4"):
        mg.index_add(mg.tensor(X), [index], mg.ones((3, 1)), axis=1)


def test_errors():
    with pytest.raises(ConfigError, match=r"'max'; give None, .sum., .*, .amin."):
        mg.scatter(mg.tensor(X), INDEX[1], 1.0, axis=1, reduce="max")
    with pytest.raises(AxisError, match="0 axes"):
        mg.scatter(mg.tensor(1.0), 0, 1.0, axis=0, reduce="prod")
