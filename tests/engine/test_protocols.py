"""A Tensor as a Python value: numbers, iteration, printing, copies, casts."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors


def leaf(values, dtype=None):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


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
