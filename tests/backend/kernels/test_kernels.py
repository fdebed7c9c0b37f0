"""Every kernel's CUDA text computes what its reference does."""

import numpy as np
import pytest

from minigrad.backend.kernels import (
    FUSED,
    attention,
    draws,
    gates,
    kernels,
    persist,
    products,
    rows,
    segments,
)
from minigrad.backend.kernels.kernel import LAUNCHERS, Kernel, row
from minigrad.testing import cuda_host

needs_gcc = pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")
DTYPES = ["float32", "float64", "float16"]
CLOSE = {"float64": 1e-12, "float32": 2e-6, "float16": 2e-3}


def values(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def part(x, *, rows_before=0):
    """The same matrix as a part of a wider one: its rows are not next to each other."""
    room = np.zeros((*x.shape[:-1], x.shape[-1] + 5), x.dtype)
    room[..., 2 : 2 + x.shape[-1]] = x
    return room[..., 2 : 2 + x.shape[-1]]


def lstm_forward(dtype):
    H, n = 5, 7
    block, after = values(6, H, n, dtype=dtype), np.zeros((H, n), dtype)
    hidden, out = part(np.zeros((H, n), dtype)), np.zeros((n, H), dtype)
    gates.lstm_forward(part(values(4 * H, n, dtype=dtype, seed=1)), block, after, hidden, out)
    return block, after, hidden, out


def lstm_backward(dtype, has_dy=True):
    H, n = 5, 7
    block, carry = values(6, H, n, dtype=dtype) / 2, values(H, n, dtype=dtype, seed=1)
    columns = part(np.zeros((4, H, n), dtype))
    dy = part(values(n, H, dtype=dtype, seed=3)) if has_dy else None
    gates.lstm_backward(values(H, n, dtype=dtype, seed=2), dy, block, carry, columns)
    return carry, columns


def gru_forward(dtype):
    H, n = 4, 6
    block, hidden = np.zeros((5, H, n), dtype), values(H, n, dtype=dtype)
    out, x = np.zeros((n, H), dtype), part(values(3 * H, n, dtype=dtype, seed=1))
    gates.gru_forward(values(3 * H, n, dtype=dtype, seed=2), x, block, hidden, out)
    return block, hidden, out


def gru_backward(dtype):
    H, n = 4, 6
    dh, block = values(H, n, dtype=dtype), values(5, H, n, dtype=dtype, seed=1) / 2
    columns = part(np.zeros((4, H, n), dtype))
    gates.gru_backward(dh, values(n, H, dtype=dtype, seed=2), block, columns)
    return dh, columns


def rnn(dtype, nonlinearity="tanh"):
    H, n = 300, 3  # more elements than threads in a block
    hidden, out = part(np.zeros((H, n), dtype)), np.zeros((n, H), dtype)
    gates.rnn_forward(part(values(H, n, dtype=dtype)), hidden, out, nonlinearity)
    columns = part(np.zeros((H, n), dtype))
    dy = part(values(n, H, dtype=dtype, seed=1))
    gates.rnn_backward(values(H, n, dtype=dtype), dy, out, columns, nonlinearity)
    return hidden, out, columns


def cross_entropy(dtype):
    x, scale = values(5, 70, dtype=dtype), np.array([1, 0.5, 0, 1, 2], dtype)
    x[2, 3] = -np.inf
    return rows.cross_entropy(x, np.array([0, 69, 3, 7, 7]), scale, np.full(1, 3, dtype), keep=True)


def layer_norm(dtype, affine=True):
    x, g = values(6, 33, dtype=dtype), values(6, 33, dtype=dtype, seed=1)
    weight, bias = (values(33, dtype=dtype, seed=s) if affine else None for s in (2, 3))
    y, normal, scale = rows.layer_norm_forward(x, weight, bias, 1e-5)
    return y, normal, scale, *rows.layer_norm_backward(g, normal, scale, weight)


def additive(dtype):
    query, keys, v = (values(*s, dtype=dtype) for s in ((2, 3, 9), (2, 5, 9), (9,)))
    scores = attention.additive_scores(query, keys, v)
    return scores, *attention.additive_backward(query, keys, v, values(2, 3, 5, dtype=dtype))


def sum_rows(dtype):
    """Runs of one part, of exactly one, of one and a row, of many; 4 is left out."""
    rng = np.random.default_rng(0)
    ids = rng.permutation(
        np.repeat([0, 1, 2, 3, 4, 6, 7, 8], [256, 257, 3, 1200, 600, 513, 1, 256])
    )
    few = rng.integers(0, 9, 40)
    return tuple(
        segments.sum_rows(values(len(each), 3, dtype=dtype), each, 12, 4) for each in (ids, few)
    )


def whole(*shape, dtype, seed=0):
    """Small whole numbers of any type."""
    drawn = np.random.default_rng(seed).integers(-5, 6, shape)
    return (abs(drawn) if np.dtype(dtype).kind == "u" else drawn).astype(dtype)


def extremes(dtype):
    ids = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 4], [1, 257, 30, 600]))
    x, source = whole(6, dtype=dtype), whole(len(ids), dtype=dtype, seed=1)
    return [segments.extreme_at(x, source, ids, largest=each) for each in (True, False)]


def multiply(dtype):
    a, b = whole(3, 5, 4, dtype=dtype), whole(3, 6, 4, dtype=dtype, seed=1).swapaxes(1, 2)
    out, one = np.zeros((3, 5, 6), dtype), part(whole(5, 6, dtype=dtype))
    products.multiply(a, b, out, accumulate=False)
    products.multiply(a[0], np.broadcast_to(b[1, :, :1], (4, 6)), one, accumulate=True)
    repeated = np.zeros((3, 5, 6), dtype)
    products.multiply(a[::-1], np.broadcast_to(b[0], b.shape), repeated, accumulate=True)
    return out, one, repeated


def random(dtype):
    at = draws.position(np.random.Generator(np.random.Philox(3))).words()
    filled, flipped = np.zeros((7, 5), dtype), np.zeros(21, dtype)
    draws.fill(at, 3, filled, -1.0, 3.0)
    draws.flip(at, 0, flipped, 0.4, 1 / 0.3)
    draws.put(at, draws.Position((1, 2), 3, 1, 4))
    return filled, flipped, at


CASES = [
    lstm_forward, lstm_backward, gru_forward, gru_backward, rnn, cross_entropy, layer_norm,
    additive, sum_rows, extremes, multiply, random,
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@needs_gcc
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_cuda_text_computes_what_its_reference_does(case, dtype, folder, monkeypatch):
    expected = case(dtype)
    monkeypatch.setitem(LAUNCHERS, np.ndarray, cuda_host.launcher(folder))
    got = case(dtype)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        tolerance = CLOSE[dtype]
        np.testing.assert_allclose(one, other, rtol=10 * tolerance, atol=4 * tolerance)
        if case in (sum_rows, extremes, multiply, random):
            assert np.array_equal(one, other)


@needs_gcc
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64"])
def test_whole_numbers(dtype, folder, monkeypatch):
    a, b = whole(9, 5, dtype=dtype) * dtype_max(dtype), whole(5, 7, dtype=dtype, seed=1)
    ids, rows = np.random.default_rng(0).integers(0, 3, 40), whole(40, 2, dtype=dtype)
    expected = [*extremes(dtype), *multiply(dtype), a @ b, np.zeros((3, 2), dtype)]
    np.add.at(expected[-1], ids, rows)
    monkeypatch.setitem(LAUNCHERS, np.ndarray, cuda_host.launcher(folder))
    product = np.zeros((9, 7), dtype)
    products.multiply(a, b, product, accumulate=False)
    got = [*extremes(dtype), *multiply(dtype), product, segments.sum_rows(rows, ids, 3)]
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype == dtype
        assert np.array_equal(one, other)


def dtype_max(dtype):
    return np.asarray(1 if dtype == "bool" else np.iinfo(dtype).max, dtype)


def test_extremes_are_numpys():
    x, source = np.array([1, np.nan, -2, 5.0]), np.array([3, 9, np.nan, -7.0])
    ids = np.array([0, 1, 2, 0])
    for largest, at in ((True, np.maximum.at), (False, np.minimum.at)):
        with np.errstate(invalid="ignore"):
            at(expected := x.copy(), ids, source)
            found = segments.extreme_at(x, source, ids, largest=largest)
        np.testing.assert_array_equal(found, expected)


@needs_gcc
def test_the_variants(folder, monkeypatch):
    cases = [
        lambda: lstm_backward("float32", has_dy=False),
        lambda: rnn("float32", "relu"),
        lambda: layer_norm("float32", affine=False),
    ]
    expected = [case() for case in cases]
    monkeypatch.setitem(LAUNCHERS, np.ndarray, cuda_host.launcher(folder))
    for case, wanted in zip(cases, expected, strict=True):
        for one, other in zip(case(), wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_every_kernel_is_run_here(monkeypatch):
    seen = set()
    monkeypatch.setitem(
        LAUNCHERS, np.ndarray, lambda k, s, args: (seen.add(k.name), k.reference(*args))
    )
    for case in CASES:
        case("float32")
    draws.fill_double(np.zeros(5, np.uint64) + 4, np.zeros(3), 0.0, 1.0)
    assert seen == {k.name for k in kernels() if not isinstance(k, persist.Persistent)}


def test_sums_of_rows_are_those_of_add_at():
    g, ids = values(500, 3), np.random.default_rng(1).integers(0, 5, 500)
    expected = np.zeros((7, 3), np.float32)
    np.add.at(expected, ids, g)
    assert np.array_equal(segments.sum_rows(g, ids, 7), expected)


def test_sums_of_many_rows_are_sums_of_parts():
    ids = np.random.default_rng(1).choice(5, 5000, p=[0.6, 0.2, 0.1, 0.05, 0.05])
    g = values(5000, 3)
    sums = segments.sum_rows(g, ids, 5)
    for k in range(5):
        mine = g[ids == k]
        parts = [np.add.reduce(mine[i : i + segments.PART]) for i in range(0, len(mine), 256)]
        np.testing.assert_allclose(sums[k], np.sum(parts, axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(sums[k], mine.sum(axis=0, dtype="f8"), rtol=1e-5, atol=1e-4)


def test_few_ids_are_sorted_as_many_are(monkeypatch):
    ids, g = np.random.default_rng(1).integers(0, 50, 3000), values(3000, 2)
    few = segments.sum_rows(g, ids, 50)
    monkeypatch.setattr(segments, "FEW", 2999)
    assert np.array_equal(segments.sum_rows(g, ids, 50), few)


def test_a_kernel_reads_its_signature():
    names = [(p.type, p.name, p.array, p.written) for p in segments.REDUCE_PARTS.parameters]
    assert names[0] == ("i64", "keys", True, False)
    assert names[4:6] == [("T", "result", True, True), ("A", "parts", True, True)]
    with pytest.raises(LookupError, match=r"gates.cu has no kernel nothing"):
        _ = Kernel("gates.cu", "nothing", print).parameters
    with pytest.raises(ValueError, match="contiguous rows"):
        row(np.zeros((4, 6))[:, ::2])


def test_an_empty_launch_is_none(monkeypatch):
    monkeypatch.setitem(LAUNCHERS, np.ndarray, lambda *_: pytest.fail("launched"))
    assert segments.sum_rows(np.zeros((0, 3)), np.zeros(0, int), 2).shape == (2, 3)
    assert attention.additive_scores(np.zeros((0, 2, 3)), np.zeros((0, 4, 3)), np.ones(3)).size == 0


def test_the_names_are_there():
    assert list(FUSED) == sorted(FUSED)
