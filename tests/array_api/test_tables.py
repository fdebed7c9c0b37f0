"""The standard's tables, whole: type promotion, special values, limits of the dtypes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("array_api_strict")

from tests.array_api.names import strict

SIGNED = ["int8", "int16", "int32", "int64"]
UNSIGNED = ["uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
DTYPES = ["bool", *SIGNED, *UNSIGNED, *FLOATS]


def promotes(a, b):
    """Whether the standard defines a common type."""
    kinds = [{"b": "bool", "i": "int", "u": "int", "f": "float"}[np.dtype(d).kind] for d in (a, b)]
    return kinds[0] == kinds[1] and not ({a, b} & set(SIGNED) and "uint64" in (a, b))


PAIRS = [pair for pair in itertools.product(DTYPES, DTYPES) if promotes(*pair)]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_promotion(a, b):
    expected = strict.result_type(getattr(strict, a), getattr(strict, b))
    assert mg.result_type(getattr(mg, a), getattr(mg, b)) == expected._np_dtype
    x, y = mg.ones((2,), dtype=a), mg.ones((2,), dtype=b)
    assert mg.result_type(x, y) == expected._np_dtype
    names = ["equal", "logical_and"] if a == "bool" else ["add", "multiply", "maximum", "equal"]
    for name in [*names, "where"]:
        call = (lambda p, q: mg.where(p > 0, p, q)) if name == "where" else getattr(mg, name)
        logic = name in ("equal", "logical_and")
        assert call(x, y).dtype == (np.bool_ if logic else expected._np_dtype)
        assert call(x, y[0]).dtype == call(x, y).dtype  # 0-d arrays promote as others do


def holds(dtype, number):
    """Whether the standard defines operations of the two: a number of a kind the dtype can hold."""
    rank = {"b": 0, "u": 1, "i": 1, "f": 2}[np.dtype(dtype).kind]
    return rank >= {bool: 0, int: 1, float: 2}[type(number)] and (rank == 0) == (number is True)


HELD = [(d, n) for d in DTYPES for n in (True, 1, 1.0) if holds(d, n)]


@pytest.mark.parametrize(("dtype", "number"), HELD)
def test_numbers_do_not_promote(dtype, number):
    x = mg.ones((2,), dtype=dtype)
    logic = dtype == "bool"
    for f in (mg.logical_or, mg.equal) if logic else (mg.add, mg.multiply, mg.maximum):
        assert f(x, number).dtype == f(number, x).dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_limits(dtype):
    if dtype in FLOATS:
        ours, theirs = mg.finfo(getattr(mg, dtype)), strict.finfo(getattr(strict, dtype))
        names = ["bits", "eps", "max", "min", "smallest_normal"]
    else:
        ours, theirs = mg.iinfo(getattr(mg, dtype)), strict.iinfo(getattr(strict, dtype))
        names = ["bits", "max", "min"]
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name)
        assert type(getattr(ours, name)) in (int, float)
    assert ours.dtype == np.dtype(dtype)


# -- special values --------------------------------------------------------------------------------

VALUES = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -3.0, 1e300, -1e-300]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "pow",
    "atan2",
    "hypot",
    "logaddexp",
    "maximum",
    "minimum",
    "copysign",
    "nextafter",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
]
UNARY = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "floor",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log1p",
    "log2",
    "log10",
    "negative",
    "positive",
    "reciprocal",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]


def assert_equal(ours, theirs):
    a, b = ours.numpy(), np.asarray(theirs._array)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-14 if a.dtype == "float64" else 1e-6)
    if a.dtype.kind == "f":  # zeros have signs
        zero = (a == 0) & (b == 0)
        np.testing.assert_array_equal(np.signbit(a[zero]), np.signbit(b[zero]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_special_values_in_pairs(name, dtype):
    with np.errstate(all="ignore"):
        x, y = np.meshgrid(np.array(VALUES, dtype), np.array(VALUES, dtype))
        theirs = getattr(strict, name)(strict.asarray(x), strict.asarray(y))
        assert_equal(getattr(mg, name)(mg.asarray(x), mg.asarray(y)), theirs)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_special_values(name, dtype):
    with np.errstate(all="ignore"):
        x = np.array(VALUES, dtype)
        assert_equal(getattr(mg, name)(mg.asarray(x)), getattr(strict, name)(strict.asarray(x)))


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "max", "min", "var", "std"])
def test_special_values_in_reductions(name):
    with np.errstate(all="ignore"):
        for values in itertools.product(VALUES[:5], repeat=2):
            x = np.array(values)
            theirs = getattr(strict, name)(strict.asarray(x))
            assert_equal(getattr(mg, name)(mg.asarray(x)), theirs)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "any", "all"])
def test_reductions_of_nothing(name):
    import warnings

    x = np.empty((0, 2), bool if name in ("any", "all") else "float64")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = getattr(strict, name)(strict.asarray(x), axis=0)
        assert_equal(getattr(mg, name)(mg.asarray(x), axis=0), theirs)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_nothing_has_no_extreme(name):
    with pytest.raises(mg.errors.ShapeError, match=name):
        getattr(mg, name)(mg.empty((0, 2)), axis=0)
