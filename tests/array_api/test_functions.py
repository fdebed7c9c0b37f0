"""Every function of the Array API standard: array_api_strict's results, on random inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg

pytest.importorskip("array_api_strict")

from tests.array_api.cases import CASES, Source
from tests.array_api.names import functions, strict

EXAMPLES = 30


@pytest.fixture(autouse=True)
def double_precision():
    """The default floating dtype of array_api_strict."""
    mg.set_default_dtype("float64")
    yield
    mg.set_default_dtype("float32")


def host(value):
    if isinstance(value, mg.Tensor):
        return value.numpy()
    return np.asarray(value._array) if hasattr(value, "_array") else value


def assert_same(ours, theirs):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
        return
    assert isinstance(ours, mg.Tensor) == hasattr(theirs, "_array")
    a, b = host(ours), host(theirs)
    if isinstance(b, np.ndarray):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        tolerance = 2e-4 if b.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 10)
    else:
        assert a == b


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(data=st.data())
def test_same_as_array_api_strict(name, data):
    source = Source(data)
    call, arrays = source.choose(CASES[name])(source)
    with np.errstate(all="ignore"):
        theirs = call(strict, *[strict.asarray(a) for a in arrays])
        ours = call(mg, *[mg.asarray(a) for a in arrays])
    assert_same(ours, theirs)


def test_every_function_has_a_case():
    assert set(functions()) - set(CASES) == {"__array_namespace_info__"}
