"""What the op table does not say about reductions: zeros, ties, empties, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.gradcheck import gradcheck, gradgradcheck


def grad(f, x):
    t = mg.tensor(x, dtype="float64", requires_grad=True)
    return mg.grad(f(t).sum(), t).numpy()


class TestProd:
    @pytest.mark.parametrize("x", [[2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [5.0]])
    def test_zeros(self, x):
        expected = [np.prod(np.delete(x, i)) for i in range(len(x))]
        np.testing.assert_allclose(grad(mg.prod, x), expected)

    @pytest.mark.parametrize("n", range(1, 10))
    def test_any_length_twice(self, n):
        x = np.linspace(-1, 1, n)  # with a zero in the middle for odd n
        assert gradcheck(mg.prod, x)
        assert gradgradcheck(mg.prod, x)

    def test_hessian_with_two_zeros(self):
        h = mg.hessian(mg.prod, mg.tensor([0.0, 0.0, 3.0])).numpy()
        np.testing.assert_array_equal(h, [[0, 3, 0], [3, 0, 0], [0, 0, 0]])

    def test_empty(self):
        assert grad(mg.prod, np.ones((0,))).shape == (0,)
        assert grad(lambda x: mg.prod(x, axis=0), np.ones((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("f", [mg.max, lambda x: -mg.min(-x), lambda x: mg.norm(x, ord=math.inf)])
def test_ties_share(f):
    np.testing.assert_allclose(grad(f, [1.0, 3.0, 3.0, 2.0, 3.0]), [0, 1 / 3, 1 / 3, 0, 1 / 3])


def test_ties_within_each_row():
    g = grad(lambda x: mg.max(x, axis=1), [[1.0, 1.0], [0.0, 2.0]])
    np.testing.assert_array_equal(g, [[0.5, 0.5], [0, 1]])


@pytest.mark.parametrize("ord", [1, 2, 3, 1.5, math.inf])
def test_norm_of_zero_has_a_zero_gradient(ord):
    np.testing.assert_array_equal(grad(lambda x: mg.norm(x, ord=ord), np.zeros(3)), np.zeros(3))


def test_std_of_equal_numbers_has_a_zero_gradient():
    np.testing.assert_array_equal(grad(mg.std, np.full(3, 2.0)), np.zeros(3))


def test_norm_ord_zero():
    with pytest.raises(mg.errors.ConfigError, match="count_nonzero"):
        mg.norm(mg.ones(3), ord=0)


def test_too_few_numbers_for_a_variance():
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="freedom"):
        assert np.isnan(grad(lambda x: mg.var(x, correction=1), [1.0])).all()


def test_empty():
    x = mg.zeros((0, 3), requires_grad=True)
    assert x.sum().item() == 0
    assert mg.sum(x, axis=0).tolist() == [0, 0, 0]
    x.sum().backward()
    assert x.grad.shape == (0, 3)
    with pytest.raises(mg.errors.ShapeError, match="max"):
        x.max()


@pytest.mark.parametrize("name", ["sum", "mean", "max", "prod", "var", "norm", "logsumexp"])
def test_an_axis_that_is_not_there(name):
    with pytest.raises(mg.errors.ShapeError, match="axis 2"):
        getattr(mg, name)(mg.ones((2, 3)), axis=2)


class TestCumulativeSum:
    def test_needs_an_axis(self):
        with pytest.raises(mg.errors.ShapeError, match="axis"):
            mg.cumulative_sum(mg.ones((2, 3)))

    def test_initial(self):
        y = mg.cumulative_sum(mg.ones((2, 3)), axis=1, include_initial=True)
        assert y.tolist() == [[0, 1, 2, 3]] * 2


def test_integers_add_up_in_int64():
    assert mg.ones(3, dtype="int8").sum().dtype == mg.int64
    assert mg.sum(mg.ones(3, dtype="bool")).item() == 3
    assert mg.sum(mg.ones(3), dtype="float64").dtype == mg.float64


def test_sum_of_dtype_gives_a_gradient_of_the_arguments_dtype():
    x = mg.ones(3, requires_grad=True)
    mg.sum(x, dtype="float64").backward()
    assert x.grad.dtype == mg.float32


def test_methods_are_the_functions():
    x = mg.rand(3, 4)
    for name in ("sum", "mean", "var", "std", "prod", "max", "min", "argmax", "argmin"):
        assert mg.array_equal(getattr(x, name)(axis=1), getattr(mg, name)(x, axis=1))
    assert (x > 2).any().item() is False
    assert (x < 2).all().item() is True
