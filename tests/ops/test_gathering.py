"""take, take_along_axis, masked_fill, sums of rows; embeddings."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, IndexRangeError, ShapeError
from minigrad.ops.lookup import sum_rows
from minigrad.testing import gradgradcheck
from tests.ops.harness import leaf

# -- gathering ------------------------------------------------------------------------------------


def test_take():
    x = leaf(np.arange(12.0).reshape(3, 4))
    assert mg.take(leaf([5.0, 6.0]), 1).item() == 6
    assert mg.take(x, [[0, -1]], axis=1).shape == (3, 1, 2)
    assert mg.take(x, [], axis=0).shape == (0, 4)
    assert mg.take(x, mg.tensor([1], dtype="uint64"), axis=-1).shape == (3, 1)
    with pytest.raises(ShapeError, match="say along which axis"):
        mg.take(x, [0])
    with pytest.raises(ShapeError, match="axis 2"):
        mg.take(x, [0], axis=2)
    with pytest.raises(DTypeError, match="take: indices are float32"):
        mg.take(x, mg.ones(2), axis=0)
    with pytest.raises(IndexRangeError, match="index 3"):
        mg.take(x, [3], axis=0)


def test_take_along_axis():
    x = leaf([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    order = mg.argsort(x, axis=1)
    np.testing.assert_array_equal(mg.take_along_axis(x, order, axis=1).numpy(), np.sort(x.data, 1))
    y = mg.take_along_axis(x, mg.tensor([[0, 0]]), axis=1)  # broadcasts
    np.testing.assert_array_equal(y.numpy(), [[3, 3], [0, 0]])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[2, 0, 0], [2, 0, 0]])
    with pytest.raises(ShapeError, match="2 axes, indices have 1"):
        mg.take_along_axis(x, mg.tensor([0]), axis=1)
    with pytest.raises(ShapeError, match="differ beside axis 1"):
        mg.take_along_axis(x, mg.zeros((3, 1), dtype="int64"), axis=1)
    with pytest.raises(IndexRangeError, match="take_along_axis"):
        mg.take_along_axis(x, mg.tensor([[3], [0]]), axis=1)
    with pytest.raises(DTypeError, match="float"):
        mg.take_along_axis(x, x, axis=1)


def test_masked_fill():
    x = leaf([1.0, 2.0, 3.0])
    y = mg.masked_fill(x, mg.tensor([True, False, True]), -1.0)
    np.testing.assert_array_equal(y.numpy(), [-1, 2, -1])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 1, 0])
    assert mg.masked_fill(mg.arange(3), mg.tensor([True] * 3), 1.5).tolist() == [1, 1, 1]
    with pytest.raises(DTypeError, match="mask is int64"):
        mg.masked_fill(x, mg.arange(3), 0.0)
    with pytest.raises(ShapeError, match=r"mask \(2, 3\)"):
        mg.masked_fill(x, mg.ones((2, 3), dtype=bool), 0.0)


def test_nonzero():
    rows, columns = mg.nonzero(mg.tensor([[0, 3], [4, 0]]))
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [1, 0]
    with pytest.raises(ShapeError, match="0-d"):
        mg.nonzero(mg.tensor(1.0))


@pytest.mark.parametrize("count", [3, 40, 400, 70_000])
@pytest.mark.parametrize("width", [0, 1, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_sum_rows_is_add_at(count, width, dtype):
    rng = np.random.default_rng(0)
    for n in (0, 1, 300):
        ids = np.minimum(rng.zipf(1.5, n) - 1, count - 1)
        rows = rng.integers(-9, 9, (n, width)).astype(dtype)
        expected = np.zeros((count, width), dtype)
        np.add.at(expected, ids, rows)
        got = sum_rows(np, rows, ids, count)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


# -- embedding ------------------------------------------------------------------------------------


def table(V: int = 6, E: int = 3) -> mg.Tensor:
    return leaf(np.random.default_rng(0).standard_normal((V, E)))


def test_embedding_with_padding_and_sparse():
    ids = np.array([[1, 5, 0], [5, 5, 2]])
    v = np.random.default_rng(1).standard_normal((2, 3, 3))
    for padding in (None, 5, -1, 0):
        expected = np.zeros((6, 3))
        np.add.at(expected, ids, v)
        if padding is not None:
            expected[padding] = 0
        for sparse in (False, True):
            w = table()
            y = mg.embedding(w, mg.tensor(ids), padding_idx=padding, sparse=sparse)
            np.testing.assert_array_equal(y.numpy(), w.numpy()[ids])
            y.backward(mg.tensor(v))
            g = w.grad
            assert isinstance(g, mg.RowSparse) == sparse
            if sparse:
                assert padding is None or padding % 6 not in g.indices
                g = g.to_dense()
            np.testing.assert_allclose(np.asarray(g), expected, atol=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
def test_embedding_twice(sparse):
    """Two look-ups in one table, a dense use of it, and a second backward pass."""
    w = table()
    for _ in range(2):
        a = mg.embedding(w, mg.tensor([1, 2]), sparse=sparse)
        b = mg.embedding(w, mg.tensor([2, 2]), sparse=sparse)
        (a.sum() + 3 * b.sum() + mg.linear(mg.ones(3, dtype="float64"), w).sum()).backward()
    expected = 2 * (np.array([0, 1, 7, 0, 0, 0])[:, None] + np.ones((6, 3)))
    np.testing.assert_allclose(mg.tensor(w.grad).numpy() if not sparse else dense(w.grad), expected)


def test_sparse_gradient_on_a_device_that_must_not_wait():
    """There the padding row stays, with zeros."""
    w = mg.asarray(table().detach().numpy(), device="strict").requires_grad_()
    ids = mg.asarray(np.array([[1, 5], [5, 2]]), device="strict")
    mg.embedding(w, ids, padding_idx=5, sparse=True).sum().backward()
    assert w.grad.indices.shape == (4,)
    dense = mg.asarray(w.grad.to_dense()).numpy()
    np.testing.assert_array_equal(dense, np.outer([0, 1, 1, 0, 0, 0], np.ones(3)))


def dense(g) -> np.ndarray:
    return g.to_dense() if isinstance(g, mg.RowSparse) else g.numpy()


def test_embedding_second_order():
    ids = mg.tensor([[0, 4, 0]])
    f = lambda w: mg.embedding(w * w, ids, padding_idx=4) ** 2  # noqa: E731
    w = table().numpy()
    g = mg.grad(f(x := leaf(w)).sum(), x, create_graph=True)
    np.testing.assert_allclose(g.numpy()[0], 8 * w[0] ** 3)
    assert not g.numpy()[4].any()
    h = mg.grad(g.sum(), x)
    np.testing.assert_allclose(h.numpy()[0], 24 * w[0] ** 2)
    assert gradgradcheck(lambda w: mg.embedding(w * w, ids, sparse=True) ** 2, w)


def test_embedding_dtypes():
    w = mg.ones((4, 2), requires_grad=True)
    for dtype in ("int32", "int64", "uint8", "uint64"):
        mg.embedding(w, mg.tensor([3, 0], dtype=dtype)).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [[4, 4], [0, 0], [0, 0], [4, 4]])
    assert w.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("ids", "error", "match"),
    [
        ([0, 6], IndexRangeError, "embedding: id 6 is outside the table of 6 rows; .* 0 to 5"),
        ([-1], IndexRangeError, "embedding: id -1"),
        ([0.0], DTypeError, "ids are float32"),
        ([True], DTypeError, "ids are bool"),
    ],
)
def test_embedding_refuses(ids, error, match):
    with pytest.raises(error, match=match):
        mg.embedding(table(), mg.tensor(ids))
    with pytest.raises(IndexRangeError, match="padding_idx 6"):
        mg.embedding(table(), mg.tensor([0]), padding_idx=6)
    with pytest.raises(ShapeError, match=r"weight has shape \(3,\)"):
        mg.embedding(mg.ones(3), mg.tensor([0]))


def test_one_hot():
    y = mg.one_hot(mg.tensor([[2], [0]]), 3)
    assert y.tolist() == [[[0, 0, 1]], [[1, 0, 0]]]
    assert y.dtype == np.float32
    assert mg.one_hot(mg.tensor(1), 2, dtype="int64").tolist() == [0, 1]
    assert mg.one_hot(mg.zeros((0,), dtype="int64"), 2).shape == (0, 2)
    with pytest.raises(IndexRangeError, match="one_hot: id 3"):
        mg.one_hot(mg.tensor([3]), 3)
