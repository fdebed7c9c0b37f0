"""x[key] and x[key] = value against NumPy, with any key; gathering, embedding, sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.errors import (
    ConfigError,
    DTypeError,
    GradError,
    IndexRangeError,
    MinigradError,
    ShapeError,
)
from minigrad.ops.lookup import sum_rows
from minigrad.testing import gradcheck, gradgradcheck


def leaf(x) -> mg.Tensor:
    return mg.tensor(x, dtype="float64", requires_grad=True)


# -- any key -------------------------------------------------------------------------------------


@st.composite
def keyed(draw):
    """An array and a key that NumPy may or may not take."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    common = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    key: list = []
    axis = 0
    for _ in range(draw(st.integers(0, 5))):
        kinds = ["none", "bool"] + ["..."] * all(k is not ... for k in key)
        n = shape[axis] if axis < len(shape) else 0
        if axis < len(shape):
            kinds += ["slice", "mask"] + ["int", "array", "array", "list", "tuple"] * (n > 0)
        kind = draw(st.sampled_from(kinds))
        if kind == "none":
            key.append(None)
        elif kind == "bool":
            key.append(draw(st.sampled_from([True, False, np.True_])))
        elif kind == "...":
            key.append(...)
            axis += draw(st.integers(0, len(shape) - axis))
        elif kind == "slice":
            key.append(draw(st.slices(n)))
            axis += 1
        elif kind == "mask":
            width = draw(st.integers(1, min(2, len(shape) - axis)))
            size = tuple(n * draw(st.sampled_from([1, 1, 0])) for n in shape[axis : axis + width])
            key.append(draw(hnp.arrays(bool, size)))
            axis += width
        elif kind == "int":
            key.append(draw(st.sampled_from([int, np.int32]))(draw(st.integers(-n, n - 1))))
            axis += 1
        else:
            size = draw(st.sampled_from([common, common[-1:], (1,), ()]))
            dtype = draw(st.sampled_from(["int64", "int8", "uint8"]))
            low = 0 if dtype == "uint8" else -n
            index = draw(hnp.arrays(dtype, size, elements=st.integers(low, n - 1)))
            key.append({"list": index.tolist(), "tuple": tuple(index.reshape(-1))}.get(kind, index))
            axis += 1
    result = tuple(key)
    return shape, result[0] if len(result) == 1 and draw(st.booleans()) else result


def with_tensors(key):
    if isinstance(key, tuple):
        return tuple(with_tensors(k) if isinstance(k, np.ndarray) else k for k in key)
    return mg.tensor(key) if isinstance(key, np.ndarray) else key


@settings(max_examples=500)
@given(keyed(), st.booleans(), st.integers(0, 99))
def test_getitem(case, as_tensors, seed):
    shape, key = case
    a = np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
    x = leaf(a)
    ours = with_tensors(key) if as_tensors else key
    try:
        expected = a[key]
    except IndexError:
        if a.size:  # of an empty array, an empty result is given without a look at the indices
            with pytest.raises((IndexRangeError, ShapeError)):
                x[ours]
        return
    y = x[ours]
    np.testing.assert_array_equal(y.numpy(), expected, strict=True)
    v = np.random.default_rng(seed).standard_normal(expected.shape)
    back = np.zeros(shape)
    np.add.at(back, key, v)
    y.backward(mg.tensor(v))
    np.testing.assert_allclose(x.grad.numpy(), back, atol=1e-12)


@settings(max_examples=500)
@given(keyed(), st.booleans(), st.integers(0, 99))
def test_setitem(case, as_tensors, seed):
    shape, key = case
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    try:
        target = a[key].shape
    except IndexError:
        return
    thin = tuple(n if rng.random() < 0.7 else 1 for n in target)
    value_shape = [target, thin[rng.integers(0, len(target) + 1) :], (1, 1, *target)][seed % 3]
    value = rng.standard_normal(value_shape)
    expected = a.copy()
    try:
        expected[key] = value
    except (ValueError, TypeError):  # NumPy is particular about values for masks
        return
    x, v = leaf(a), leaf(value)
    y = x.copy()
    y[with_tensors(key) if as_tensors else key] = v
    np.testing.assert_array_equal(y.numpy(), expected)
    g = rng.standard_normal(shape)
    y.backward(mg.tensor(g))
    owner = np.full(shape, -1)  # which element of the value was written last
    owner[key] = np.arange(value.size).reshape(value_shape)
    by_value = np.zeros(value.size)
    np.add.at(by_value, owner[owner >= 0], g[owner >= 0])
    np.testing.assert_allclose(x.grad.numpy(), np.where(owner < 0, g, 0))
    np.testing.assert_allclose(v.grad.numpy(), by_value.reshape(value_shape), atol=1e-12)


@settings(max_examples=100)
@given(keyed())
def test_setitem_of_a_number(case):
    shape, key = case
    expected = np.zeros(shape)
    try:
        expected[key] = 7
    except IndexError:
        return
    x = mg.zeros(shape)
    x[with_tensors(key)] = 7
    np.testing.assert_array_equal(x.numpy(), expected)


@settings(max_examples=60)
@given(keyed())
def test_second_order(case):
    shape, key = case
    a = np.linspace(-1, 1, int(np.prod(shape, dtype=int))).reshape(shape)
    try:
        value = np.ones(a[key].shape)
    except IndexError:
        return
    if a.size and value.size:
        assert gradgradcheck(lambda x: (x * x)[key], a)
        assert gradcheck(lambda x, v: mg.setitem(x * x, v * v, key=key), [a, value])
        assert gradgradcheck(lambda x, v: mg.setitem(x * x, v * v, key=key), [a, value])


# -- keys, one by one ----------------------------------------------------------------------------


def test_a_view_and_a_copy():
    x = leaf(np.zeros((3, 4)))
    assert np.shares_memory(x[1:, ::2].data, x.data)
    assert not np.shares_memory(x[[0, 1]].data, x.data)
    assert x[1].node.op.name == "getitem"
    assert x[[1]].node.op.name == "take"


def test_index_by_results():
    x = leaf([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]])
    assert x[mg.tensor([1, 1])].tolist() == [x.tolist()[1]] * 2
    best = mg.argmax(x, axis=1)
    np.testing.assert_array_equal(x[mg.arange(2), best].numpy(), [5, 4])
    assert x[0, best[0]].item() == 5
    x[x > 2.5].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 1, 0], [1, 0, 1]])


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (3, IndexRangeError, r"getitem: x has shape \(3, 4\): index 3 is out of bounds"),
        ((0, -5), IndexRangeError, "index -5"),
        ((0, 0, 0), IndexRangeError, "too many indices"),
        ((..., ...), IndexRangeError, "ellips"),
        ([0, 3], IndexRangeError, r"take: x has shape \(3, 4\): index 3 is out of bounds"),
        ([-4], IndexRangeError, "index -4"),
        (([0], [0], [0]), IndexRangeError, "names 3 axes"),
        ((..., [0], ...), IndexRangeError, "two ellipses"),
        (([0, 1], [0, 1, 2]), ShapeError, r"\(2,\), \(3,\) do not broadcast"),
        (1.5, DTypeError, "cannot use 1.5 as an index"),
        ([0.5], DTypeError, "as an index"),
        ("a", DTypeError, "as an index"),
        (np.array([0.5]), DTypeError, "an index array is float64"),
        (np.array([True, False]), IndexRangeError, r"a mask of shape \(2,\) does not fit"),
        ((slice(None), np.ones(3, bool)), IndexRangeError, "mask"),
    ],
)
def test_keys_that_do_not_fit(key, error, match):
    x = mg.zeros((3, 4))
    with pytest.raises(error, match=match):
        x[key]
    with pytest.raises(MinigradError):
        x[key] = 1.0
    assert not x.numpy().any()


def test_values_that_do_not_fit():
    x = mg.zeros((3, 4))
    for key in (0, [0, 1], (slice(None), [0])):
        with pytest.raises(ShapeError, match=r"setitem|put"):
            x[key] = mg.ones(3, dtype="float32")[:2] if key == 0 else mg.ones((5, 5))
    with pytest.raises(IndexRangeError, match="mask"):
        x[mg.ones((3, 3), dtype=bool)] = 1.0
    counts = mg.zeros(3, dtype="int64")
    with pytest.raises(DTypeError, match="float64 value that requires grad"):
        counts[0] = leaf(1.5)
    counts[0] = 2.9
    assert counts.tolist() == [2, 0, 0]


def test_assignment_is_functional():
    x = leaf([1.0, 2.0, 3.0])
    with pytest.raises(GradError, match=r"x = x\.copy"):
        x[0] = 5.0
    y = x * 2
    z = y * y
    y[1] = 0.0
    np.testing.assert_array_equal(y.numpy(), [2, 0, 6])
    (z + y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 8 * x.numpy() + [2, 0, 2])


def test_assign_lists_and_arrays():
    x = mg.zeros((2, 3))
    x[0] = [1, 2, 3]
    x[1] = np.array([4.0, 5.0, 6.0])
    x[:, 1] = np.float64(9)
    assert x.dtype == np.float32
    assert x.tolist() == [[1, 9, 3], [4, 9, 6]]
    x[x > 5] = 0
    assert x.tolist() == [[1, 0, 3], [4, 0, 0]]
    x[mg.tensor([True, False])] = -1
    assert x.tolist() == [[-1, -1, -1], [4, 0, 0]]


# -- gathering -----------------------------------------------------------------------------------


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


# -- embedding -----------------------------------------------------------------------------------


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


# -- order ---------------------------------------------------------------------------------------


@given(
    hnp.arrays(
        "float64",
        hnp.array_shapes(max_dims=3, min_side=0, max_side=6),
        elements=st.sampled_from([1.0, 2.0, -3.0, 4.5, np.inf, np.nan]),
    ),
    st.booleans(),
    st.data(),
)
def test_sort(a, descending, data):
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    x = leaf(a)
    y = mg.sort(x, axis=axis, descending=descending)
    expected = np.sort(a, axis)
    np.testing.assert_array_equal(y.numpy(), np.flip(expected, axis) if descending else expected)
    order = mg.argsort(x, axis=axis, descending=descending).numpy()
    np.testing.assert_array_equal(np.take_along_axis(a, order, axis), y.numpy())
    inside = np.moveaxis(order, axis, -1)  # equal elements stay in order
    ordered = np.moveaxis(y.numpy(), axis, -1)
    one, two = ordered[..., :-1], ordered[..., 1:]
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    assert (np.diff(inside, axis=-1)[same] > 0).all()
    v = np.random.default_rng(0).standard_normal(a.shape)
    y.backward(mg.tensor(v))
    back = np.zeros(a.shape)
    np.put_along_axis(back, order, v, axis)
    np.testing.assert_array_equal(x.grad.numpy(), back)


def test_sort_other_dtypes():
    assert mg.sort(mg.tensor([3, 1, 2], dtype="uint8"), descending=True).tolist() == [3, 2, 1]
    assert mg.sort(mg.tensor([True, False])).tolist() == [False, True]
    with pytest.raises(ShapeError, match="0-d"):
        mg.argsort(mg.tensor(1.0))


def test_topk():
    x = leaf([[3.0, 1.0, 3.0, 2.0]])
    values, places = mg.topk(x, 2)
    assert values.tolist() == [[3, 3]]
    assert places.tolist() == [[0, 2]]
    values, places = mg.topk(x, 2, largest=False)
    assert values.tolist() == [[1, 2]]
    (values * mg.tensor([[5.0, 7.0]], dtype="float64")).sum().backward()
    assert x.grad.tolist() == [[0, 5, 0, 7]]
    assert mg.topk(x, 0)[0].shape == (1, 0)
    assert mg.topk(x, 1, axis=0)[1].tolist() == [[0, 0, 0, 0]]
    with pytest.raises(ConfigError, match="k=5 of an axis of length 4"):
        mg.topk(x, 5)


def test_searchsorted():
    x = mg.tensor([1.0, 2.0, 2.0])
    assert mg.searchsorted(x, mg.tensor([2.0, 0.0, 9.0])).tolist() == [1, 0, 3]
    assert mg.searchsorted(x, mg.tensor(2.0), side="right").item() == 3
    with pytest.raises(ConfigError, match="'middle'"):
        mg.searchsorted(x, x, side="middle")
    with pytest.raises(ShapeError, match="expected a vector"):
        mg.searchsorted(mg.ones((2, 2)), x)


def test_unique():
    x = mg.tensor([[3.0, 1.0], [3.0, np.nan]])
    found = mg.unique_all(x)
    assert found.values.tolist()[:2] == [1, 3]
    assert found.indices.tolist() == [1, 0, 3]
    assert found.counts.tolist() == [1, 2, 1]
    np.testing.assert_array_equal(found.values[found.inverse_indices].numpy(), x.numpy())
    assert mg.unique_counts(x).counts.tolist() == [1, 2, 1]
    assert mg.unique_inverse(x).inverse_indices.shape == (2, 2)
    assert mg.unique_values(mg.tensor([np.nan, np.nan])).shape == (2,)
    assert mg.unique_values(mg.tensor(2)).tolist() == [2]
