import math
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.backend import accumulate, blas_threads, device, gemm, matmul
from minigrad.backend.device_gemm import device_matmul, precision
from minigrad.errors import ConfigError, DeviceError, DTypeError, ShapeError

STRICT = device("strict")
CALLS = []


def gpu_product(a, b, out, *, accumulate, precision):
    """np.matmul, for what a GPU library does well; anything else fails the test."""
    assert a.ndim == b.ndim == out.ndim
    assert a.ndim in (2, 3)
    assert a.size
    assert b.size
    assert a.dtype == b.dtype == out.dtype
    assert precision is None
    CALLS.append((a.shape, b.shape))
    product = np.matmul(a, b)
    out[...] = out + product if accumulate else product


def on_strict(a, b, out=None):
    into = None if out is None else STRICT.asarray(np.empty_like(out))
    result = STRICT.to_host(matmul(STRICT.asarray(a), STRICT.asarray(b), into))
    if out is not None:
        out[...] = STRICT.to_host(into)
    return result


PATHS = [
    pytest.param(matmul, id="numpy"),
    pytest.param(partial(device_matmul, gpu_product), id="gpu-like"),
    pytest.param(on_strict, id="strict"),
]
SHAPES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((6, 5, 2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((6, 1, 2, 3), (5, 3, 4)), ((0, 3), (3, 4)),
    ((2, 0), (0, 4)), ((5, 2, 0), (0, 4)), ((5, 2, 0), (5, 0, 4)), ((5, 0, 3), (3, 4)),
    ((0,), (0,)), ((4, 0, 3), (4, 3, 2)), ((0, 2, 3), (3, 4)),
]  # fmt: skip


def normal(shape, dtype="float64"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_shapes_and_values_are_numpys(path, left, right):
    a, b = normal(left), normal(right)
    expected = np.matmul(a, b)
    got = path(a, b)
    assert np.shape(got) == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("left", "right"), [s for s in SHAPES if s != ((3,), (3,))])
@pytest.mark.parametrize("order", ["C", "F"])
def test_out_is_written(path, left, right, order):
    a, b = normal(left), normal(right)
    expected = np.matmul(a, b)
    out = np.full_like(expected, np.nan, order=order)
    path(a, b, out)
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-13)


def test_out_is_returned():
    out = np.empty((2, 5, 4))
    assert matmul(normal((2, 5, 3)), normal((3, 4)), out) is out
    assert device_matmul(gpu_product, normal((2, 5, 3)), normal((3, 4)), out) is out


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposed_and_strided_views(path, dtype):
    w, x = normal((7, 6), dtype), normal((4, 3, 6), dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12}
    np.testing.assert_allclose(path(x, w.T), np.einsum("tbi,hi->tbh", x, w), **tolerance)
    np.testing.assert_allclose(
        path(x.transpose(1, 0, 2), w.T), np.einsum("tbi,hi->bth", x, w), **tolerance
    )
    strided = x[::2, :, ::2]
    np.testing.assert_allclose(path(strided, w.T[::2]), strided @ w.T[::2], **tolerance)
    q = normal((2, 4, 5, 3), dtype)
    np.testing.assert_allclose(path(q, q.swapaxes(-1, -2)), q @ q.swapaxes(-1, -2), **tolerance)


def test_a_weight_is_multiplied_in_one_product(monkeypatch):
    shapes, real = [], np.matmul

    def spy(a, b, *out, **kwargs):
        shapes.append((a.shape, b.shape))
        return real(a, b, *out, **kwargs)

    monkeypatch.setattr(np, "matmul", spy)
    matmul(normal((5, 2, 3)), normal((4, 3)).T)
    assert shapes == [((10, 3), (3, 4))]
    CALLS.clear()
    device_matmul(gpu_product, normal((5, 2, 3)), normal((4, 3)).T)
    assert CALLS == [((10, 3), (3, 4))]


def test_float16_is_summed_in_float32_by_blas(monkeypatch):
    dtypes, real = [], np.matmul
    monkeypatch.setattr(np, "matmul", lambda a, b: dtypes.append(a.dtype) or real(a, b))
    matmul(np.ones((64, 64), np.float16), np.ones((64, 64), np.float16))
    assert dtypes == [np.float32]
    monkeypatch.undo()
    ones = np.ones((1, 4096), np.float16)
    assert matmul(ones, ones.T).item() == 4096  # in float16, 2048 + 1 is 2048
    out = np.empty((1, 1), np.float16)
    assert matmul(ones, ones.T, out) is out
    assert out.item() == 4096
    assert matmul(ones, ones.T).dtype == np.float16


@pytest.mark.parametrize("path", PATHS)
def test_dtypes_promote_as_in_numpy(path):
    a, b = normal((2, 3), "float32"), normal((3, 4), "float64")
    assert path(a, b).dtype == np.float64
    integers = np.arange(6).reshape(2, 3)
    assert path(integers, integers.T).tolist() == (integers @ integers.T).tolist()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ((2, 3), (4, 5), r"a is \(2, 3\) and b is \(4, 5\): the last axis of a, 3, must equal"),
        ((2, 3), (4,), "the length of b, 4"),
        ((), (3,), "a is 0-d"),
        ((3,), (), "b is 0-d"),
        ((2, 2, 3), (3, 3, 4), r"the leading axes \(2,\) and \(3,\) do not broadcast"),
    ],
)
def test_shapes_that_do_not_fit(path, left, right, message):
    with pytest.raises(ShapeError, match=message):
        path(np.ones(left), np.ones(right))


@pytest.mark.parametrize("path", PATHS)
def test_an_out_that_does_not_fit(path):
    with pytest.raises(ShapeError, match="out"):
        path(np.ones((2, 3)), np.ones((3, 4)), np.ones((5, 5)))


def test_what_is_no_array():
    with pytest.raises(DeviceError, match="b is object, not an array"):
        matmul(np.ones((2, 3)), object())


def test_devices_do_not_mix():
    host, there = np.ones((2, 2)), STRICT.asarray(np.ones((2, 2)))
    for pair in ((host, there), (there, host)):
        with pytest.raises(DeviceError, match="arrays of different devices"):
            matmul(*pair)


WHOLE = [np.dtype(c) for c in "?bBhHiIlL"]


@pytest.mark.parametrize("right", WHOLE, ids=str)
@pytest.mark.parametrize("left", WHOLE, ids=str)
def test_whole_numbers_on_a_device(left, right):
    """Stacks, views and NumPy's types of results, with sums that wrap around."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (2, 3, 4)).astype(each) for each in (left, right))
    there, other = STRICT.asarray(a), STRICT.asarray(b)
    for x, y, hx, hy in (
        (there, other.mT, a, b.swapaxes(1, 2)),
        (there[::-1, 1:], other[0].T, a[::-1, 1:], b[0].T),
        (there[0, 0], other.mT, a[0, 0], b.swapaxes(1, 2)),
    ):
        expected = hx @ hy
        found = matmul(x, y)
        assert found.dtype == expected.dtype
        assert np.array_equal(found.get(), expected)
    out = STRICT.asarray(np.ones((2, 3, 3), expected.dtype))
    accumulate(there, other.mT, out)
    with np.errstate(over="ignore"):
        assert np.array_equal(out.get(), np.ones((), out.dtype) + a @ b.swapaxes(1, 2))


def test_element_types_without_a_product_are_refused():
    with pytest.raises(DTypeError):
        matmul(np.array([["a"]]), np.array([["b"]]))


@st.composite
def operands(draw):
    m, k, n = (draw(st.integers(0, 4)) for _ in range(3))
    lead = draw(st.lists(st.integers(0, 3), max_size=3))
    left = [draw(st.sampled_from([d, 1])) for d in lead]
    right = [draw(st.sampled_from([d, 1])) for d in lead][draw(st.integers(0, len(lead))) :]
    a = (k,) if draw(st.booleans()) and not left else (*left, m, k)
    b = (k,) if draw(st.booleans()) and not right else (*right, k, n)
    return a, b


@settings(max_examples=150, deadline=None)
@given(operands())
def test_any_shapes_numpy_takes(shapes):
    a, b = (np.arange(math.prod(s), dtype=float).reshape(s) - 3 for s in shapes)
    expected = np.matmul(a, b)
    for path in (matmul, partial(device_matmul, gpu_product)):
        got = path(a, b)
        assert np.shape(got) == expected.shape
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("where", ["cpu", "strict"])
def test_products_are_added_to_what_is_there(where):
    dev = device(where)
    for left, right, shape in (((3, 4), (4, 2), (3, 2)), ((5, 3, 4), (4, 2), (5, 3, 2)),
                               ((3, 4), (4,), (3,)), ((3, 0), (0, 2), (3, 2))):  # fmt: skip
        a, b, c = normal(left), normal(right), normal(shape)
        room = dev.asarray(np.concatenate([c, c], axis=-1))  # out: part of a wider array
        out = room[..., : shape[-1]]
        assert accumulate(dev.asarray(a), dev.asarray(b), out) is out
        np.testing.assert_allclose(dev.to_host(out), c + a @ b, rtol=1e-13, atol=1e-13)
        assert np.array_equal(dev.to_host(room)[..., shape[-1] :], c)


@pytest.mark.parametrize(("name", "bits"), [("float16", 11), ("bfloat16", 8), ("tf32", 11)])
def test_operands_are_rounded_on_request(name, bits):
    a, b = normal((16, 32), "float32"), normal((32, 8), "float32")
    exact = a.astype("f8") @ b
    there = STRICT.asarray(a), STRICT.asarray(b)
    with precision(name):
        coarse = STRICT.to_host(matmul(*there))
        assert np.array_equal(matmul(a, b), a @ b)  # the CPU has no such products
    fine = STRICT.to_host(matmul(*there))
    assert coarse.dtype == np.float32
    error = np.abs(coarse - exact).max() / np.abs(exact).max()
    assert 2.0 ** -(bits + 4) < error < 2.0**-bits * 8
    assert np.abs(fine - exact).max() < 1e-4
    with precision(name):
        doubles = matmul(STRICT.asarray(a.astype("f8")), STRICT.asarray(b.astype("f8")))
    np.testing.assert_allclose(STRICT.to_host(doubles), exact)


def test_a_precision_that_is_none():
    with pytest.raises(ConfigError, match="precision is 'int8'"), precision("int8"):
        pass


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_products_are_those_of_matmul_to_the_bit(dtype):
    """They take a shorter way; a program of `mg.compile` takes the long one."""
    for m, k, n in product((1, 2, 7, 16, 33), repeat=3):
        a, b = normal((m, 2 * k), dtype), normal((k, 2 * n), dtype)
        for x in (a[:, :k].copy(), np.asfortranarray(a[:, :k]), a[:, :k], a[:, ::2]):
            for y in (b[:, :n].copy(), np.asfortranarray(b[:, :n]), b[:, :n], b[:, ::2]):
                np.testing.assert_array_equal(
                    matmul(x, y), np.matmul(x, y, np.empty((m, n), dtype))
                )


@pytest.mark.skipif(blas_threads.library() is None, reason="a BLAS that cannot be asked")
@pytest.mark.parametrize(
    ("shapes", "threads"),
    [
        (((64, 64), (64, 32)), 2),  # BLAS does not divide it
        (((128, 128), (128, 128)), 1),
        (((2, 64, 128), (128, 128)), 1),  # its leading axes flattened
        (((1024, 1024), (1024, 128)), 2),  # large: worth two threads
        (((1 << 12, 1 << 8), (1 << 8,)), 2),  # a vector
    ],
)
def test_products_of_middling_size_get_one_thread(monkeypatch, shapes, threads):
    before, seen = blas_threads.get_blas_threads(), []

    def product(*args, **kwargs):
        seen.append(blas_threads.get_blas_threads())
        return matmul_of_numpy(*args, **kwargs)

    matmul_of_numpy = np.matmul
    a, b = (np.ones(shape, "f4") for shape in shapes)
    blas_threads.set_blas_threads(2)
    try:
        monkeypatch.setattr(gemm.np, "matmul", product)
        result = matmul(a, b)
        assert blas_threads.get_blas_threads() == 2
    finally:
        blas_threads.set_blas_threads(before)
    assert seen == [threads]
    assert (result == a.shape[-1]).all()
