"""sort, topk, searchsorted, unique."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.errors import ConfigError, ShapeError
from tests.ops.harness import leaf


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
