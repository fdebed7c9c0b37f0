"""Every op of the table on other inputs: dtypes, layouts, shapes, repetition, NaN and inf."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minigrad as mg
from minigrad.testing.gradcheck import gradcheck, gradgradcheck
from tests.ops.harness import (
    SMOOTH,
    TABLE,
    assert_same,
    draws,
    gradients,
    outputs,
    run,
    samples,
    tensors,
)

ELEMENTWISE = [s for s in TABLE if s.registered.elementwise and draws(s)]
BINARY = [s for s in ELEMENTWISE if len(draws(s)) > 1]
FLOATING = [s for s in TABLE if "float64" in [getattr(x, "dtype", None) for x in s.draw()]]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@samples(s for s in FLOATING if s.op != "astype")
def test_dtype_stays(sample, dtype):
    xs = tensors(sample, sample.draw(dtype=dtype))
    ys = outputs(sample(*xs))
    grads = gradients(ys, xs)
    for y in ys:
        assert y.dtype.kind != "f" or y.dtype == dtype
    assert [g.dtype for g in grads] == [dtype] * len(grads)


@samples(FLOATING)
def test_float32_value_and_gradient(sample):
    single = sample.draw(dtype="float32")
    double = [x.astype("float64") if _is_single(x) else x for x in single]
    ys, grads = run(sample, single)
    expected, exact = run(sample, double)
    assert_same(ys, expected, 2e-5)
    assert_same(grads, exact, 1e-4)


def _is_single(x):
    return getattr(x, "dtype", None) == np.float32


LAYOUTS = {
    "column-major": lambda x: x.copy(order="F"),
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "reversed": lambda x: x[::-1].copy()[::-1] if x.ndim else x,
    "read-only": lambda x: _read_only(x.copy()),
}


def _read_only(x):
    x.flags.writeable = False
    return x


@pytest.mark.parametrize("layout", LAYOUTS)
@samples(TABLE)
def test_memory_layout(sample, layout):
    inputs = sample.draw()
    others = [LAYOUTS[layout](x) if hasattr(x, "dtype") else x for x in inputs]
    (ys, grads), (expected, exact) = run(sample, others), run(sample, inputs)
    assert_same(ys, expected, 1e-14)
    assert_same(grads, exact, 1e-13)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (2, 1, 3)], ids=str)
@samples(ELEMENTWISE)
def test_shape(sample, shape):
    sample = sample.reshaped(*[shape] * len(draws(sample)))
    inputs = sample.draw()
    ys, grads = run(sample, inputs)
    assert_same(ys, [np.empty(shape) if 0 in shape else sample.expected(*inputs)], 1e-12)
    wanted = sample.differentiated(inputs)
    assert [g.shape for g in grads] == [inputs[i].shape for i in wanted]


@samples(BINARY)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_broadcasting(sample, data):
    """Against the same op on arguments repeated by hand; gradients add up over the repeats."""
    n = len(draws(sample))
    shapes = data.draw(mutually_broadcastable_shapes(num_shapes=n, max_dims=3, max_side=3))
    sample = sample.reshaped(*shapes.input_shapes)
    inputs = sample.draw()
    ys, grads = run(sample, inputs)
    assert ys[0].shape == shapes.result_shape
    full = [np.broadcast_to(x, ys[0].shape) if hasattr(x, "dtype") else x for x in inputs]
    expected, exact = run(sample, full)
    assert_same(ys, expected, 1e-14)
    wanted = sample.differentiated(inputs)
    summed = [_sum_to(g, inputs[i].shape) for g, i in zip(exact, wanted, strict=True)]
    assert_same(grads, summed, 1e-12)


def _sum_to(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def _takes_one_for_all(sample):
    """Whether one array can stand for all arguments: they broadcast, or have one shape."""
    inputs = sample.draw()
    shapes = [inputs[i].shape for i in sample.differentiated(inputs)]
    return len(shapes) > 1 and (sample.registered.elementwise or len(set(shapes)) == 1)


@samples(s for s in SMOOTH if _takes_one_for_all(s))
def test_repeated_argument(sample):
    """f(x, x): each place contributes."""
    inputs = sample.draw()
    wanted = sample.differentiated(inputs)
    x = max((inputs[i] for i in reversed(wanted)), key=np.ndim)

    def f(x):
        return sample(*[x if i in wanted else a for i, a in enumerate(inputs)])

    x = mg.asarray(np.abs(x) * 0.4 + 0.1, dtype="float64").requires_grad_()
    assert gradcheck(f, x)
    assert 2 not in sample.orders or gradgradcheck(f, x)


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 5e-324])
UNARY = [s for s in ELEMENTWISE if len(s.inputs) == 1 and draws(s)[0].kind in "fs"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@samples(UNARY)
def test_nan_and_inf_pass_through(sample, dtype):
    with np.errstate(all="ignore"):
        x = SPECIAL.astype(dtype)
        y = sample(mg.asarray(x)).numpy()
        expected = np.asarray(sample.expected(x.astype("float64")))
        if dtype == "float32" and expected.dtype.kind == "f":
            expected = expected.astype(dtype)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-37)


@samples(s for s in UNARY if s.orders)
def test_nan_stays_in_its_place(sample):
    (x,) = sample.draw()
    x = x.ravel()
    y, (g,) = run(sample, [x])
    bad = x.copy()
    bad[0] = np.nan
    z, (h,) = run(sample, [bad])
    np.testing.assert_array_equal(y[0][1:], z[0][1:])
    np.testing.assert_array_equal(g[1:], h[1:])
    assert np.isnan(z[0][0])
