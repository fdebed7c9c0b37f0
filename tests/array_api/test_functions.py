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


# Step functions, comparisons, positions, counts, limits, shapes: nothing to differentiate.
NO_DERIVATIVE = {
    "argmax", "argmin", "argsort", "can_cast", "count_nonzero", "empty_like", "equal", "finfo",
    "full_like", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal",
    "linalg.matrix_rank", "nextafter", "nonzero", "not_equal", "ones_like", "result_type",
    "searchsorted", "signbit", "zeros_like",
}  # fmt: skip
CONSTANT_FOR_ONE_PARAMETER = {"linalg.matrix_power", "linalg.vector_norm"}  # x⁰, and ord=0 counts
REFUSED = {  # what has none says so: export, and the arbitrary vectors of full decompositions
    "from_dlpack", "linalg.qr", "linalg.svd",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(data=st.data())
def test_differentiable(name, data):
    """Of floating tensors every floating result is on the tape, and its gradient is there."""
    source = Source(data)
    call, arrays = source.choose(CASES[name])(source)
    xs = [mg.asarray(a) for a in arrays]
    leaves = [x.requires_grad_() for x in xs if x.dtype.kind == "f"]
    with np.errstate(all="ignore"):
        try:
            found = call(mg, *xs)
        except mg.errors.GradError:
            assert name in REFUSED
            return
        found = found if isinstance(found, list) else [found]
        ys = [y for y in found if isinstance(y, mg.Tensor) and y.dtype.kind == "f"]
        if not leaves or not ys or name in NO_DERIVATIVE:
            assert name not in NO_DERIVATIVE or not any(y.requires_grad for y in ys)
            return
        ys = [y for y in ys if y.requires_grad]
        assert ys or name in CONSTANT_FOR_ONE_PARAMETER
        if ys:
            grads = mg.grad([y.sum() for y in ys], leaves, allow_unused=True)
            assert any(g is not None for g in grads)


@pytest.mark.parametrize(
    "f",
    [
        mg.unique_values,
        lambda x: mg.unique_all(x).values,
        lambda x: mg.unique_counts(x).values,
        lambda x: mg.unique_inverse(x).values,
    ],
)
def test_unique_values_are_differentiable(f):
    """Each comes from the first place where it stands."""
    x = mg.tensor([[3.0, 1.0], [1.0, 2.0]], requires_grad=True)
    (f(x) * mg.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [[100, 1], [0, 10]]
