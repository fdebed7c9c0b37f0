"""x[key] and x[key] = value against NumPy, with any key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.errors import DTypeError, GradError, IndexRangeError, MinigradError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck
from tests.ops.harness import leaf

# -- any key --------------------------------------------------------------------------------------


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


# -- keys, one by one -----------------------------------------------------------------------------


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
