"""Every op of the table under vmap: all examples at once, against one call per example."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.tree import flatten
from tests.ops.harness import TABLE, outputs, samples

VMAP = sys.modules["minigrad.engine.vmap"]  # the name in the package is the function's
N = 3


def both(f, axes, args):
    """f at once and one by one; at once must do, without falling back."""
    leaves, rebuild = flatten(tuple(args))
    call = VMAP._Call(f, leaves, axes, N, rebuild, {}, 0)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return VMAP._at_once(call), VMAP._one_by_one(call)


def assert_same(got, expected, tolerance):
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(_host(a), _host(b), rtol=tolerance, atol=tolerance)


def _host(x):
    return np.asarray(x.to_dense() if hasattr(x, "to_dense") else x.numpy())


# Their results have shapes that depend on values, or leave for another device
ONE_BY_ONE = {"nonzero", "unique_values", "unique_all", "to_device"}


def _arrays(sample):
    """Per example, the array arguments; and their positions."""
    drawn = [sample.draw(seed=k) for k in range(N)]
    places = [i for i, x in enumerate(drawn[0]) if hasattr(x, "dtype")]
    return drawn, places


def _fits(sample):
    drawn, places = _arrays(sample)
    shapes = {tuple(d[i].shape for i in places) for d in drawn}
    return bool(places) and len(shapes) == 1 and sample.op not in ONE_BY_ONE


CASES = [s for s in TABLE if _fits(s)]


def cases(sample):
    """(function of the arrays, axes, arrays) with all, only the first, only the last one mapped."""
    drawn, places = _arrays(sample)
    wanted = [places.index(i) for i in sample.differentiated(drawn[0])]
    for mapped in {tuple(places), tuple(places[:1]), tuple(places[-1:])}:
        arrays = [
            mg.asarray(np.stack([d[i] for d in drawn]) if i in mapped else drawn[0][i])
            for i in places
        ]

        def call(*xs):
            full = list(drawn[0])
            for i, x in zip(places, xs, strict=True):
                full[i] = x
            return tuple(outputs(sample(*full)))

        yield call, [0 if i in mapped else None for i in places], arrays, wanted


@samples(CASES)
def test_value(sample):
    for call, axes, arrays, _ in cases(sample):
        assert_same(*both(call, axes, arrays), 1e-9)


def gradients(call, wanted, *, second):
    """A function to map: the gradient of Σ y (1 + y), or of that gradient's square."""

    def f(*xs):
        xs = list(xs)
        ts = [xs[i].detach().requires_grad_() for i in wanted]
        for i, t in zip(wanted, ts, strict=True):
            xs[i] = t
        ys = [y for y in call(*xs) if y.requires_grad]
        total = sum((y * (1 + y)).sum() for y in ys)
        found = mg.grad(total, ts, create_graph=second, allow_unused=True)
        if second:
            squares = sum((g * g).sum() for g in found if g is not None)
            found = [None] * len(ts)
            if squares.requires_grad:
                found = mg.grad(squares, ts, allow_unused=True)
        return tuple(mg.zeros_like(t) if g is None else g for g, t in zip(found, ts, strict=True))

    return f


@samples(s for s in CASES if s.orders)
def test_gradients_per_example(sample):
    for call, axes, arrays, wanted in cases(sample):
        assert_same(*both(gradients(call, wanted, second=False), axes, arrays), 1e-8)
        if 2 in sample.orders:
            assert_same(*both(gradients(call, wanted, second=True), axes, arrays), 1e-7)


@samples(s for s in CASES if s.orders)
def test_gradients_through_the_map(sample):
    for call, axes, arrays, wanted in cases(sample):
        leaves = [x.requires_grad_() if i in wanted else x for i, x in enumerate(arrays)]

        def floating(*xs, call=call):
            return tuple(y for y in call(*xs) if y.dtype.kind == "f")

        xs = [x for x in leaves if x.requires_grad]
        found = [
            mg.grad([(y * (1 + y)).sum() for y in ys], xs, allow_unused=True)
            for ys in both(floating, axes, leaves)
        ]
        dense = [
            [mg.zeros_like(x) if g is None else g for g, x in zip(gs, xs, strict=True)]
            for gs in found
        ]
        assert_same(*dense, 1e-8)


@pytest.mark.parametrize("op", sorted(ONE_BY_ONE - {"to_device"}))
def test_what_depends_on_values_is_called_for_each_example(op):
    calls = []

    def f(x):
        calls.append(x)
        found = outputs(getattr(mg, {"unique_all": "unique_inverse"}.get(op, op))(x))
        return tuple(found)

    x = mg.tensor([[3.0, 1.0, 2.0], [1.0, 5.0, 4.0]])
    found = mg.vmap(f)(x)
    assert len(calls) == 1 + len(x)
    expected = [f(row) for row in x]
    for k, column in enumerate(found):
        assert column.tolist() == [e[k].tolist() for e in expected]
