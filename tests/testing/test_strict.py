"""The strict device: what works is NumPy's, bit for bit, and what a GPU would notice is counted."""

import copy
import operator

import numpy as np
import pytest

from minigrad.backend import device, device_of, matmul, namespace
from minigrad.errors import DeviceError
from minigrad.testing import strict
from minigrad.testing.cupy_api import api
from minigrad.testing.strict import StrictArray

DEV = device("strict")
xp = DEV.xp


def dev(values, dtype=None):
    return DEV.asarray(np.asarray(values), dtype)


# -- what works is NumPy's, bit for bit -----------------------------------------------------------


def test_the_device(d, h):
    assert DEV is strict.device() is device_of(d)
    assert namespace(d) is xp is strict.xp
    assert (type(d), d.shape, d.dtype, d.ndim, d.size) == (StrictArray, (3, 4), h.dtype, 2, 12)
    assert (d.nbytes, d.itemsize, d.strides, len(d)) == (48, 4, (16, 4), 3)
    assert np.array_equal(DEV.to_host(d), h)
    assert DEV.asarray(d) is d
    assert DEV.asarray(d, "float64").dtype == np.float64
    assert repr(dev([1])) == "Strictarray([1])"
    assert "strict" in repr(xp) + repr(xp.exp) + repr(xp.sum)


def test_an_upload_is_a_copy(h):
    d = DEV.asarray(h)
    h[0, 0] = 99
    assert d.get()[0, 0] == 0
    d.get()[0, 0] = 99
    assert d.get()[0, 0] == 0
    d.set(h)
    assert d.get()[0, 0] == 99
    with pytest.raises(ValueError, match=r"expected a NumPy array of shape \(3, 4\)"):
        d.set(h[0])


@pytest.mark.parametrize("symbol", [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.pow, operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
])  # fmt: skip
def test_operators(symbol, d, h):
    other = h[0] + 1
    for right, host in ((DEV.asarray(other), other), (2, 2), (2.5, 2.5), (np.float32(2), 2.0)):
        got, expected = symbol(d, right), symbol(h, host)
        assert type(got) is StrictArray
        assert np.array_equal(got.get(), expected, equal_nan=True)
        assert got.dtype == expected.dtype
    assert np.array_equal(symbol(3, d + 1).get(), symbol(3, h + 1))
    if symbol(1, 2).__class__ is not bool:  # NumPy makes a host array of what it compares
        assert np.array_equal(symbol(np.float32(3), d + 1).get(), symbol(np.float32(3), h + 1))


def test_unary_and_bitwise_operators(d, h):
    assert np.array_equal((-d).get(), -h)
    assert np.array_equal(abs(-d).get(), h)
    assert np.array_equal((+d).get(), h)
    i = dev([1, 2, 4])
    assert [x.tolist() for x in (i & 3, i | 1, i ^ 7)] == [[1, 2, 0], [1, 3, 5], [6, 5, 3]]
    assert [x.tolist() for x in (i << 1, i >> 1, ~i)] == [[2, 4, 8], [0, 1, 2], [-2, -3, -5]]
    assert (~(d > 3)).get().sum() == 4


def test_in_place_operators_write_into_the_array(d, h):
    view = d[1]
    d += 1
    d *= d
    d -= DEV.asarray(h)
    d /= 2
    assert np.array_equal(d.get(), ((h + 1) ** 2 - h) / 2)
    assert np.array_equal(view.get(), d.get()[1])
    zero_d = dev(3.0)
    same = zero_d
    zero_d += 1
    assert zero_d is same
    assert same.item() == 4
    with pytest.raises(TypeError, match="Cannot cast"):
        operator.itruediv(dev([1, 2]), 2)


def test_scalars_are_weak_and_numpys_are_not(d):
    assert (d * 2.0).dtype == np.float32
    assert (d * np.float64(2)).dtype == np.float64
    assert (np.float64(2) * d).dtype == np.float64
    assert (dev([1]) * 1.5).dtype == np.float64


def test_results_are_never_scalars(d):
    for result in (
        d.sum(),
        d.max(),
        d[1, 2],
        d[0, 0] + 1,
        xp.sum(d),
        xp.count_nonzero(d),
        xp.allclose(d, d),
        xp.array_equal(d, d),
        xp.add.reduce(d.ravel()),
        d.argmax(),
    ):
        assert type(result) is StrictArray  # fmt: skip
        assert result.shape == ()


def test_indexing_is_numpys_and_basic_indexing_gives_views(d, h):
    for index in (1, (1, 2), slice(0, 2), (slice(None), 1), Ellipsis, (None, 1), (Ellipsis, 0), -1):
        assert np.array_equal(d[index].get(), h[index])
    element, row = d[0, 0], d[1]
    element += 5
    row[2] = 7
    assert (d.get()[0, 0], d.get()[1, 2]) == (5, 7)
    rows = dev([2, 0])
    assert np.array_equal(d[rows].get(), d.get()[[2, 0]])
    assert np.array_equal(d[rows, 1].get(), d.get()[[2, 0], 1])
    assert [row.shape for row in d] == [(4,)] * 3
    for index in ("x", 1.5, {}):
        with pytest.raises(IndexError, match="Unsupported index type"):
            d[index]
    with pytest.raises(IndexError):
        d[dev([3])]  # CuPy wraps around silently


def test_methods_and_functions(d, h):
    def results(a, m):
        yield from (a.sum(axis=1), a.mean(axis=0, keepdims=True), a.T, a.mT, a.real, a.imag)
        yield from (a.reshape(4, 3), a.reshape((2, -1)), a.transpose(1, 0), a.astype("float64"))
        yield from (a.clip(2, 5), m.clip(a, 2, 5), m.exp(a), m.where(a > 3, a, 0), m.tril(a))
        yield from (m.concatenate([a, a]), m.stack([a, a], axis=1), m.linalg.norm(a), m.sinc(a))
        yield from (m.broadcast_to(a, (2, 3, 4)), m.take_along_axis(a, a.argsort(axis=1), 1))
        yield from (m.einsum("ij,kj->ik", a, a), m.zeros_like(a), m.add.outer(a, a), m.arange(5))
        yield from (m.multiply.accumulate(a, axis=1), m.eye(3), m.full((2, 3), 7.0))
        yield m.lib.stride_tricks.as_strided(a, (2, 2), (4, 4))
        yield m.pad(a, ((1, 1), (0, 0)), constant_values=((0, 1), (2, 3)))

    for got, expected in zip(results(d, xp), results(h, np), strict=True):
        assert type(got) is StrictArray
        assert np.array_equal(got.get(), expected)
        assert got.dtype == expected.dtype
    assert [x.shape for x in xp.split(d, 2, axis=1)] == [(3, 2), (3, 2)]
    assert [x.shape for x in xp.nonzero(d > 3)] == [(8,), (8,)]
    assert xp.result_type(d, 2.0) == np.float32
    assert (xp.float32, xp.pi, xp.newaxis) == (np.float32, np.pi, None)


def test_a_method_that_changes_nothing_gives_the_array_itself(d):
    assert d.astype("float32", copy=False) is d
    assert xp.asarray(d) is d
    assert xp.array(d) is not d
    assert xp.array([d, d]).shape == (2, 3, 4)


def test_out(d, h):
    out = xp.zeros((3, 4), "float32")
    assert xp.exp(d, out=out) is out
    assert xp.exp(d, out) is out
    assert np.array_equal(out.get(), np.exp(h))
    row = xp.zeros(4, "float32")
    assert xp.sum(d, axis=0, out=row) is row
    assert d.sum(axis=0, out=row) is row
    assert xp.add.reduce(d, axis=0, out=row) is row
    assert np.array_equal(row.get(), h.sum(axis=0))
    fraction, whole = xp.modf(d + 0.5, out=(out, d))
    assert (fraction, whole) == (out, d)
    for f in (xp.exp, xp.sum, xp.add.reduce):
        for host in (h, "text"):
            with pytest.raises(TypeError):
                f(d, out=host)


def test_copies(d):
    for c in (copy.copy(d), copy.deepcopy(d), d.copy()):
        c += 1
        assert d.get()[0, 0] == 0


def test_in_place_methods(d):
    d.fill(3)
    assert d.get().sum() == 36
    x = dev([3.0, 1.0, 2.0])
    assert x.sort() is None
    assert x.tolist() == [1, 2, 3]
    xp.copyto(x, 0)
    assert x.tolist() == [0, 0, 0]


# -- neutral code gives the same numbers ----------------------------------------------------------


def lstm_step(m, product, x, h, c, w, u, b):
    z = product(x, w) + product(h, u) + b
    i, f, g, o = (z[:, k * 8 : (k + 1) * 8] for k in range(4))
    c = m.tanh(g) / (1 + m.exp(-i)) + c / (1 + m.exp(-f))
    return m.tanh(c) / (1 + m.exp(-o)), c


def test_an_lstm_step_is_bit_equal():
    rng = np.random.default_rng(0)
    shapes = ((5, 6), (5, 8), (5, 8), (6, 32), (8, 32), (32,))
    host = [rng.standard_normal(s).astype("float32") for s in shapes]
    ours = lstm_step(np, np.matmul, *host)
    theirs = lstm_step(xp, matmul, *map(DEV.asarray, host))
    assert all(np.array_equal(a, b.get()) for a, b in zip(ours, theirs, strict=True))


# -- what a GPU would notice ----------------------------------------------------------------------

SYNCS = {
    ".item()": lambda d: d.sum().item(),
    ".tolist()": StrictArray.tolist,
    "bool()": lambda d: bool(d.sum() > 0),
    "float()": lambda d: float(d.sum()),
    "int()": lambda d: int(d.sum()),
    "format()": lambda d: f"{d.sum():.2f} {d}",
    "mask read": lambda d: d[d > 3],
    "mask write": lambda d: operator.setitem(d, d > 3, d[0, 0]),
    "host mask": lambda d: d[np.array([True, False, True])],
    "nonzero": xp.nonzero,
    ".nonzero()": lambda d: d.nonzero(),
    "unique": xp.unique,
    "where": lambda d: xp.where(d > 3),
}
UPLOADS = {
    "asarray": lambda d: xp.asarray([1.0, 2.0]),
    "device.asarray": lambda d: DEV.asarray(np.ones(3)),
    "set": lambda d: d.set(np.ones((3, 4), np.float32)),
    "list index": lambda d: d[[0, 1]],
    "host index": lambda d: d[np.array([0, 1])],
    "fancy scalar": lambda d: operator.setitem(d, dev_index, 1.0),
    "add.at scalar": lambda d: xp.add.at(d, dev_index, 1.0),
    "stack of 9": lambda d: xp.stack([d] * 9),
    "concat of 9": lambda d: xp.concat([d] * 9),
}
dev_index = dev([0, 1])


@pytest.mark.parametrize("name", SYNCS)
def test_syncs_are_counted_and_forbidden(name, d):
    with strict.count() as seen:
        SYNCS[name](d)
    assert seen.sync > 0
    with strict.no_sync(), pytest.raises(DeviceError, match=r"wait for the device: .*no_sync"):
        SYNCS[name](d)
    SYNCS[name](d)  # allowed again


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads_are_counted_and_not_captured(name, d):
    with strict.count() as seen:
        UPLOADS[name](d)
    assert (seen.upload > 0, seen.sync) == (True, 0)
    with strict.capturing(), pytest.raises(DeviceError, match=r"copies host memory .*captured"):
        UPLOADS[name](d)


def test_what_costs_nothing_is_not_counted(d):
    with strict.count() as seen, strict.no_sync():
        y = xp.where(d > 3, d, 0.0)
        y[1] = 0.0
        y += matmul(d, d.T).sum()
        xp.stack([d] * 8)
        xp.concatenate([xp.zeros((1024, 512), "float32")] * 9)  # large: no table of pointers
        xp.allclose(d, d)
        assert (len(d), d.T.shape, d[1].ndim) == (3, (4, 3), 1)
    assert seen == strict.Counts()


def test_downloads_and_draws_are_counted(d):
    with strict.count() as outer:
        with strict.count() as inner:
            DEV.to_host(d)
            DEV.rng.uniform(shape=2)
            xp.einsum("ij->i", d)
        d.sum().item()
    assert inner == strict.Counts(download=1, random=1, library=1)
    assert outer == strict.Counts(download=1, random=1, library=1, sync=1)
    with strict.no_sync(), pytest.raises(DeviceError, match="copies device memory to the host"):
        DEV.to_host(d)


def test_every_method_of_cupys_arrays_is_there_or_refused_on_purpose():
    from minigrad.testing.strict.ufunc import _NOT_NEUTRAL

    missing = {name for name in api().methods if not hasattr(StrictArray, name)}
    assert missing == _NOT_NEUTRAL - {"item", "tolist"}
