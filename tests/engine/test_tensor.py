"""What a Tensor is: how it is made, and assignment that writes into nothing."""

from __future__ import annotations

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
