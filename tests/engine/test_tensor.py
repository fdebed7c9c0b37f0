"""What a Tensor is: its data, dtype rules, conversions, copies, and what its operators do."""

from __future__ import annotations

import copy
import operator
import pickle
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors


def leaf(values, dtype=None):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


# -- making one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.0, "float32"),
        ([1.0, 2.0], "float32"),
        ([[1, 2]], "int64"),
        (True, "bool"),
        ([True, False], "bool"),
        (np.float64(1.0), "float64"),
        (np.array([1.0]), "float64"),
        (np.array([1.0], np.float16), "float16"),
        (np.array([1], np.uint8), "uint8"),
        ([], "float32"),
    ],
)
def test_dtype_of_new_tensors(value, dtype):
    assert mg.tensor(value).dtype == dtype


def test_tensor_copies_and_asarray_shares():
    a = np.zeros(2)
    copied, shared = mg.tensor(a), mg.asarray(a)
    a[0] = 1
    assert copied.tolist() == [0, 0]
    assert shared.tolist() == [1, 0]


@pytest.mark.parametrize(
    "bad", [np.array(["a"]), np.array([1j]), np.array([None]), np.array(["2020-01-01"], "M8[D]")]
)
@pytest.mark.parametrize("make", [mg.tensor, mg.Tensor, mg.asarray])
def test_data_that_are_no_numbers_are_refused(make, bad):
    with pytest.raises(errors.DTypeError, match=re.escape(str(bad.dtype))):
        make(bad)


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool"])
def test_integers_and_booleans_never_require_grad(dtype):
    with pytest.raises(errors.DTypeError, match=dtype):
        mg.tensor([1], dtype=dtype, requires_grad=True)
    t = mg.tensor([1], dtype=dtype)
    with pytest.raises(errors.DTypeError, match=dtype):
        t.requires_grad_()
    assert not t.requires_grad


def test_results_of_integer_dtype_are_cut_off_from_the_tape():
    x = leaf([1.5, 2.5])
    for y in (x.astype("int64"), x > 2, mg.argmax(x), mg.isnan(x)):
        assert not y.requires_grad
        assert y.is_leaf


def test_an_intermediate_result_cannot_stop_requiring_grad():
    y = leaf([1.0]) * 2
    assert y.requires_grad_() is y
    with pytest.raises(errors.GradError, match="detach"):
        y.requires_grad_(False)


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


# -- in-place syntax, functional meaning -----------------------------------------------------------


def test_augmented_assignment_rebinds():
    x = leaf([1.0, 2.0])
    y = x * x
    old = y
    y += 1
    y *= 3
    assert y is not old
    assert old.tolist() == [1, 4]
    assert y.tolist() == [6, 15]
    y.sum().backward()
    assert x.grad.tolist() == [6, 12]


def test_augmented_assignment_to_a_leaf_leaves_the_leaf_alone():
    w = leaf([1.0])
    x = w
    x -= 1
    assert w.tolist() == [1.0]
    assert w.is_leaf
    assert not x.is_leaf


def test_item_assignment_gives_a_new_value_and_the_tape_keeps_the_old_one():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 2
    square = y * y  # reads the old y
    before = y.data
    y[1] = 10.0
    assert before.tolist() == [2, 4, 6]
    assert y.tolist() == [2, 10, 6]
    (square.sum() + y.sum()).backward()
    assert x.grad.tolist() == [8 * 1 + 2, 8 * 2, 8 * 3 + 2]


def test_item_assignment_is_differentiable_in_the_value():
    x, v = leaf([1.0, 2.0, 3.0]), leaf([5.0])
    y = x.copy()
    y[0:2] = v
    (y * mg.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [0, 0, 100]
    assert v.grad.tolist() == [11]


def test_item_assignment_on_a_constant_makes_it_depend_on_the_value():
    x, v = mg.zeros(3), leaf(2.0)
    alias, array = x, x.data
    x[1] = v
    assert x is alias
    assert x.requires_grad
    assert array.tolist() == [0, 0, 0]
    (x * 3).sum().backward()
    assert v.grad.item() == 3


def test_item_assignment_to_a_leaf_would_lose_its_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises(errors.GradError, match="copy"):
        x[0] = 5.0
    assert x.tolist() == [1, 2]
    with mg.no_grad():
        x[0] = 5.0
    assert x.tolist() == [5, 2]
    assert x.is_leaf
    assert x.requires_grad


def test_constants_assigned_to_do_not_write_into_shared_memory():
    array = np.zeros(2)
    x = mg.asarray(array)
    x[0] = 1.0
    assert array.tolist() == [0, 0]


# -- Python's protocols ----------------------------------------------------------------------------


def test_numbers():
    t = mg.tensor([[2.5]])
    assert (float(t), int(t), bool(t), t.item()) == (2.5, 2, True, 2.5)
    assert [10, 20, 30][mg.tensor(1)] == 20
    assert f"{mg.tensor(2.0):.2f}" == "2.00"


@pytest.mark.parametrize("convert", [float, int, bool, lambda t: t.item()])
def test_only_one_element_is_a_number(convert):
    for shape in ((2,), (0,), (1, 2)):
        with pytest.raises(errors.ShapeError, match="one element"):
            convert(mg.zeros(shape))


def test_a_float_is_no_index():
    with pytest.raises(errors.DTypeError, match="integer"):
        [1, 2][mg.tensor(1.0)]


def test_length_iteration_and_membership():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    first, second = x
    (first * second).sum().backward()
    assert x.grad.tolist() == [[3, 4], [1, 2]]
    assert 3.0 in mg.tensor([1.0, 3.0])
    for f in (len, iter):
        with pytest.raises(errors.ShapeError, match="0-d"):
            f(mg.tensor(1.0))


def test_tensors_are_hashed_by_identity():
    a, b = mg.tensor([1.0]), mg.tensor([1.0])
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1


def test_repr():
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(mg.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(mg.tensor(2.0, dtype="float64")) == "tensor(2., dtype=float64)"
    assert repr(leaf([1.0])) == "tensor([1.], requires_grad=True)"
    assert repr(leaf([1.0]) * 2) == "tensor([2.], op=multiply)"
    named = mg.tensor([True], name="mask")
    assert repr(named) == "tensor([ True], name='mask')"
    assert repr(mg.ones((2, 2))) == "tensor([[1., 1.],\n        [1., 1.]])"
    assert len(repr(mg.zeros(10**6))) < 200


def test_naming_a_result_names_its_line():
    y = leaf([1.0]) * 2
    y.name = "twice"
    assert y.node.labels == {0: "twice"}
    assert repr(y) == "tensor([2.], op=multiply, name='twice')"


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_copies_of_a_leaf_have_their_own_memory(duplicate):
    x = mg.nn.Parameter(np.array([1.0, 2.0], np.float32), name="w")
    (x * x).sum().backward()
    y = duplicate(x)
    assert type(y) is mg.nn.Parameter
    assert (y.requires_grad, y.name, y.dtype) == (True, "w", np.float32)
    assert y.grad is None
    y.assign_(0.0)
    assert x.tolist() == [1, 2]
    assert not duplicate(mg.tensor([1])).requires_grad


def test_deepcopy_keeps_sharing():
    w = leaf([1.0])
    a, b = copy.deepcopy((w, w))
    assert a is b


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_results_are_not_copied_with_half_their_history(duplicate):
    with pytest.raises(errors.GradError, match="detach"):
        duplicate(leaf([1.0]) * 2)


def test_shapes_and_moves():
    x = leaf(np.arange(6.0).reshape(2, 3))
    assert (x.shape, x.ndim, x.size, x.nbytes, x.is_leaf) == ((2, 3), 2, 6, 48, True)
    assert x.T.shape == (3, 2)
    assert x.mT.shape == (3, 2)
    assert x.device is mg.device("cpu")
    assert x.cpu() is x
    assert x.float().dtype == "float32"
    assert x.double().dtype == "float64"
    assert x.to("float16").dtype == "float16"
    with pytest.raises(errors.ShapeError, match="matrix"):
        _ = mg.zeros((2, 2, 2)).T


def test_casting_brings_the_gradient_back_in_the_old_dtype():
    x = leaf([1.0, 2.0], dtype="float32")
    (x.double() * np.array([1.0, 2.0])).sum().backward()
    assert x.grad.dtype == "float32"
    assert x.grad.tolist() == [1, 2]


def test_item_and_tolist_are_python_numbers():
    assert type(mg.tensor(1.0).item()) is float
    assert type(mg.tensor(1).item()) is int
    assert mg.tensor([[1, 2]]).tolist() == [[1, 2]]


def test_numpy_shares_memory():
    x = mg.tensor([1.0, 2.0])
    assert np.shares_memory(x.numpy(), x.data)
    assert np.asarray(x).dtype == np.float32
    assert np.from_dlpack(x).tolist() == [1, 2]
    with pytest.raises(errors.GradError, match="detach"):
        np.from_dlpack(leaf([1.0]))
