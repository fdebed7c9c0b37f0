"""The operators of a Tensor: dtypes, reflections, NumPy on either side."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors


def leaf(values, dtype=None):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


# -- dtypes in arithmetic: NEP 50 ------------------------------------------------------------------

OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
]


@pytest.mark.parametrize("f", OPERATORS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "scalar", [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2)], ids=repr
)
def test_scalars_do_not_promote(f, dtype, scalar):
    x = mg.tensor([1.5, 3.0], dtype=dtype)
    array = np.array([1.5, 3.0], dtype)
    plain = scalar.item() if isinstance(scalar, np.generic) else scalar
    for result, expected in ((f(x, scalar), f(array, plain)), (f(scalar, x), f(plain, array))):
        assert isinstance(result, mg.Tensor)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result.numpy(), expected)


def test_zero_dimensional_tensors_promote_as_arrays_do():
    assert (mg.tensor([1.0]) * mg.tensor(2.0, dtype="float64")).dtype == "float64"


def test_float32_stays_float32_through_a_training_step():
    x, w, b = mg.ones((4, 3)), leaf([[0.1] * 2] * 3), leaf([0.0, 0.0])
    y = mg.tanh(x @ w + b) / 2 - 1e-3
    loss = (y * y).mean() + 0.5 * mg.sqrt(w * w + 1e-8).sum()
    loss.backward()
    assert {t.dtype.name for t in (y, loss, w.grad, b.grad)} == {"float32"}


# -- operators -------------------------------------------------------------------------------------

BINARY = [*OPERATORS, operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("f", BINARY)
def test_operators_with_arrays_on_either_side(f):
    a, b = np.array([3.0, 4.0, -5.5]), np.array([2.0, 4.0, 3.0])
    for result in (f(mg.tensor(a), b), f(a, mg.tensor(b)), f(mg.tensor(a), mg.tensor(b))):
        assert type(result) is mg.Tensor
        np.testing.assert_array_equal(result.numpy(), f(a, b))


@pytest.mark.parametrize("f", OPERATORS)
@pytest.mark.parametrize("number", [2.0, np.float64(2.0)])
def test_reflected_operators_have_the_reflected_gradient(f, number):
    a = np.array([3.0, 4.5])
    x = leaf(a)
    f(number, x).sum().backward()
    eps = 1e-6
    expected = (f(2.0, a + eps) - f(2.0, a - eps)) / (2 * eps)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6, atol=1e-9)
    y = leaf(a)
    f(np.full(2, 2.0), y).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), x.grad.numpy())


def test_matmul_with_arrays_on_either_side():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    x, y = leaf(a), leaf(b)
    for result in (x @ b, a @ y, x @ y):
        assert type(result) is mg.Tensor
        assert result.requires_grad
        np.testing.assert_array_equal(result.numpy(), a @ b)


@pytest.mark.parametrize(
    "f",
    [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift],
)
def test_bit_operators_and_their_reflections(f):
    a = np.array([5, 2, 1])
    for result, expected in ((f(mg.tensor(a), 1), f(a, 1)), (f(9, mg.tensor(a)), f(9, a))):
        np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("f", [operator.neg, operator.pos, operator.abs])
def test_unary_operators(f):
    a = np.array([1.0, -2.0])
    np.testing.assert_array_equal(f(mg.tensor(a)).numpy(), f(a))
    np.testing.assert_array_equal((~mg.tensor([True, False])).numpy(), [False, True])


def test_numpy_functions_call_ours_and_stay_on_the_tape():
    x = leaf(np.array([0.5, 1.0]))
    y = np.sin(x) + np.multiply(np.ones(2), x)
    assert type(y) is mg.Tensor
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos([0.5, 1.0]) + 1)


def test_numpy_cannot_take_a_tensor_that_requires_grad_by_accident():
    with pytest.raises(errors.GradError, match="detach"):
        np.asarray(leaf([1.0]))
    with pytest.raises(TypeError, match="never written"):
        np.add(np.ones(1), mg.tensor([1.0]), out=np.zeros(1))
    array = np.zeros(1, np.float32)
    with pytest.raises(TypeError, match="never written"):
        array += leaf([1.0])


@pytest.mark.parametrize("other", ["a", [1.0], {}, object(), 1j])
def test_operands_that_are_neither_numbers_nor_arrays(other):
    with pytest.raises(errors.DTypeError, match=r"add.*asarray"):
        mg.tensor([1.0]) + other
    with pytest.raises(errors.DTypeError, match=r"multiply.*asarray"):
        other * mg.tensor([1.0])


@pytest.mark.parametrize(
    "method",
    ["sum", "mean", "var", "std", "prod", "max", "min", "all", "any", "argmax", "argmin"],
)
def test_the_axis_of_a_method_needs_no_name(method):
    x = np.random.default_rng(0).normal(size=(3, 4))
    for axis in (0, -1):
        ours = getattr(mg.tensor(x), method)(axis)
        np.testing.assert_allclose(ours.numpy(), getattr(x, method)(axis))
    assert mg.tensor(x).softmax(0).shape == (3, 4)
