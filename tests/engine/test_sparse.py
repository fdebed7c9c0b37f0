"""RowSparse: the gradient of a table of which few rows were read."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def rows(ids, width=2, count=6, seed=0, dtype="float64"):
    values = np.random.default_rng(seed).standard_normal((len(ids), width)).astype(dtype)
    return mg.RowSparse(np.array(ids, dtype=np.int64), values, (count, width))


def dense(g):
    full = np.zeros(g.shape, g.dtype)
    for i, row in zip(g.indices, g.values, strict=True):
        full[i] += row
    return full


@pytest.mark.parametrize("ids", [[], [3], [5, 0], [2, 2, 0, 2], list(range(6)) * 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_and_coalesced(ids, dtype):
    g = rows(ids, dtype=dtype)
    assert (g.shape, g.ndim, g.dtype) == ((6, 2), 2, dtype)
    rtol = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(g.to_dense(), dense(g), rtol=rtol)
    c = g.coalesce()
    assert c.indices.tolist() == sorted(set(ids))
    np.testing.assert_array_equal(c.to_dense(), g.to_dense())
    assert c.to_dense().dtype == dtype
    np.testing.assert_array_equal(c.coalesce().values, c.values)


def test_more_than_two_axes():
    g = mg.RowSparse(np.array([1, 1]), np.ones((2, 3, 4)), (5, 3, 4))
    assert g.to_dense().sum() == 24
    assert g.coalesce().values.shape == (1, 3, 4)


def test_arithmetic():
    a, b = rows([1, 1, 4]), rows([4, 0], seed=1)
    d = np.arange(12.0).reshape(6, 2)
    np.testing.assert_allclose((a + b).to_dense(), dense(a) + dense(b))
    assert isinstance(a + b, mg.RowSparse)
    before = d.copy()
    for total in (a + d, d + a):
        assert type(total) is np.ndarray
        np.testing.assert_allclose(total, dense(a) + d)
    np.testing.assert_array_equal(d, before)
    np.testing.assert_allclose((a + mg.tensor(d)).numpy(), dense(a) + d)
    for scaled in (a * 2.0, 2.0 * a):
        np.testing.assert_allclose(scaled.to_dense(), dense(a) * 2)
    assert a.astype("float32").dtype == "float32"
    assert repr(a) == "RowSparse(rows=3 of 6, shape=(6, 2))"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies(duplicate):
    g = rows([1, 1, 4])
    np.testing.assert_array_equal(duplicate(g).to_dense(), g.to_dense())


def losses(table):
    ids = mg.tensor([0, 2, 2, 5])

    def read():
        return (mg.embedding(table, ids, sparse=True) * np.arange(8.0).reshape(4, 2)).sum()

    def tied():  # the same table as an output layer
        return (mg.tanh(table) * 2).sum()

    return read, tied


@pytest.mark.parametrize("order", ["r", "rr", "rt", "tr", "rtr", "trt", "rrt", "ttr", "rtrt"])
def test_sparse_and_dense_gradients_of_one_table_add_up(order):
    """In one backward pass, over several, and by grad: in every order of arrival."""
    start = np.random.default_rng(0).standard_normal((6, 2))
    expected = leaf(start)
    ids = mg.tensor([0, 2, 2, 5])
    for kind in order:
        if kind == "r":
            y = (mg.embedding(expected, ids) * np.arange(8.0).reshape(4, 2)).sum()
        else:
            y = (mg.tanh(expected) * 2).sum()
        y.backward()

    one = leaf(start)
    read, tied = losses(one)
    sum((read if kind == "r" else tied)() for kind in order).backward()
    many = leaf(start)
    read, tied = losses(many)
    for kind in order:
        (read if kind == "r" else tied)().backward()
    by_grad = leaf(start)
    read, tied = losses(by_grad)
    g = mg.grad(sum((read if kind == "r" else tied)() for kind in order), by_grad)
    for found in (one.grad, many.grad, g):
        assert isinstance(found, mg.RowSparse) == ("t" not in order)
        full = found.to_dense() if isinstance(found, mg.RowSparse) else found.numpy()
        assert full.dtype == np.float64
        np.testing.assert_allclose(full, expected.grad.numpy(), rtol=1e-13)


def test_accumulation_writes_into_no_earlier_gradient():
    table = leaf(np.ones((6, 2)))
    read, tied = losses(table)
    tied().backward()
    first, values = table.grad, table.grad.numpy().copy()
    read().backward()
    np.testing.assert_array_equal(first.numpy(), values)


def test_a_recorded_gradient_is_dense():
    table = leaf(np.ones((6, 2)))
    read, _ = losses(table)
    g = mg.grad((mg.exp(read() * 0.01)), table, create_graph=True)
    assert isinstance(g, mg.Tensor)
    assert g.requires_grad
    read().backward()
    table.grad = None
    read().backward()
    mg.exp(read() * 0.01).backward(create_graph=True)  # dense on top of sparse
    assert isinstance(table.grad, mg.Tensor)


def test_a_table_read_inside_a_checkpoint():
    table = leaf(np.ones((6, 2)))
    ids = mg.tensor([1, 1])
    mg.checkpoint(lambda w: mg.embedding(w, ids, sparse=True) * 1, table).sum().backward()
    assert isinstance(table.grad, mg.RowSparse)
    assert table.grad.to_dense()[1].tolist() == [2, 2]
