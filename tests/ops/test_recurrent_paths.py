"""The fused recurrent ops: their fast paths, bad input, a single step."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minigrad.ops.recurrent import (
    _gradients,
    _products,
    _schedule,
    _shared,
    _workspace,
    gru,
    lstm,
    rnn,
)
from minigrad.ops.recurrent.checks import as_lengths
from tests.ops.recurrent import OPS, arguments, assert_close, both, kinds, run, ways

# -- the fast paths ----------------------------------------------------------------------------


@pytest.fixture(params=[(7, 512), (2, 0)], ids=["folded, two steps a part", "wide"])
def tiny_limits(request, monkeypatch):
    """Cut products, project and sum at sizes that tests can afford."""
    cached, folded = request.param
    monkeypatch.setattr(_products, "UNPACKED", 600)
    monkeypatch.setattr(_products, "ROWS", 8)
    monkeypatch.setattr(_gradients, "CACHED", cached)
    monkeypatch.setattr(_shared, "FOLDED", folded)
    monkeypatch.setattr(_shared, "COLUMNS", 5)
    forget()
    yield
    forget()


def forget():
    """What was made with other limits."""
    _products.cut.cache_clear()
    _workspace._IDLE.of.clear()


@pytest.mark.parametrize("lengths", [None, (6, 2, 4)], ids=["full", "lengths"])
@ways
@kinds
def test_blocks_change_nothing(kind, reverse, lengths, tiny_limits):
    args = arguments(kind, 6, 3, 5, 16)
    assert _products.cut(16 * OPS[kind][1], 16, 3) != (16 * OPS[kind][1], 16)
    got = run(OPS[kind][0], args, lengths=lengths, reverse=reverse)
    plain = {"nonlinearity": "tanh"} if kind == "rnn" else {}
    expected = run(OPS[kind][0].plain, args, lengths=lengths, reverse=reverse, **plain)
    assert_close(both(got), both(expected), 1e-12)


@pytest.mark.parametrize("transposed", [False, True])
def test_product_cuts_rows_and_the_inner_dimension(transposed, tiny_limits):
    rng = np.random.default_rng(0)
    cuts = set()
    for M, K, n in [(8, 4, 3), (64, 8, 4), (32, 24, 6), (24, 64, 2), (17, 19, 5), (16, 640, 65)]:
        a = rng.standard_normal((K, M)).T if transposed else rng.standard_normal((M, K))
        b, out = rng.standard_normal((K, n)), np.empty((M, n))
        m, k = _products.cut(M, K, n)
        cuts.add((m < M, k < K))
        for _ in range(2):
            _products.product(np, a, b, out)()
            np.testing.assert_allclose(out, a @ b, rtol=1e-13, atol=1e-13)
    assert cuts == {(False, False), (True, False), (True, True)}


@pytest.mark.parametrize("transposed", [False, True])
def test_product_cuts_columns_where_there_are_few_rows(transposed, tiny_limits):
    M, K, n = 7, 6, 32
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((M, K)), rng.standard_normal((K, n))
    a, b = (np.array(x, order="F") for x in (a, b)) if transposed else (a, b)
    out = np.empty((M, n))
    multiply = _products.product(np, a, b, out)
    assert [x.shape for x in multiply.args] == [(M, K), (4, K, 8), (4, M, 8)]
    multiply()
    np.testing.assert_allclose(out, a @ b, rtol=1e-13, atol=1e-13)


def test_cut_uses_small_blocks_only():
    for M, K, n in [(512, 128, 32), (2048, 512, 20), (512, 2048, 20), (400, 100, 64)]:
        m, k = _products.cut(M, K, n)
        assert m * k * n <= _products.UNPACKED
        assert M % m == K % k == 0


def test_schedule_packs_and_unpacks():
    batch = _schedule.schedule(4, 3, (2, 4, 0), False)
    x = np.arange(12.0).reshape(4, 3, 1)
    assert batch.pack(np, x).ravel().tolist() == [1, 0, 4, 3, 7, 10]  # longest first, step by step
    back = batch.unpack(np, batch.pack(np, x))[..., 0]
    assert back.tolist() == [[0, 1, 0], [3, 4, 0], [0, 7, 0], [0, 10, 0]]
    h = np.arange(3.0)[:, None]
    assert batch.columns(np, h).tolist() == [[1, 0, 2]]
    assert batch.states(np, batch.columns(np, h)).tolist() == h.tolist()
    assert [run.n for run in batch.runs] == [2, 1]


def test_equal_lengths_move_nothing():
    assert _schedule.schedule(4, 3, (4, 4, 4)).rows is None


@pytest.mark.parametrize("lengths", [None, (6, 2, 4)], ids=["full", "lengths"])
@kinds
def test_a_device_never_waits(kind, lengths):
    """After the first call with these lengths nothing is copied to, from, or waited for."""
    xs = [
        None if a is None else mg.asarray(a, device="strict").requires_grad_()
        for a in arguments(kind, 6, 3, 4, 5)
    ]
    for _ in range(2):
        with mg.testing.strict.count() as seen:
            ys = OPS[kind][0](*xs, lengths=lengths)
            mg.grad(list(ys), [x for x in xs if x is not None], [y.detach() for y in ys])
    assert (seen.sync, seen.upload, seen.download) == (0, 0, 0)


# -- bad input ---------------------------------------------------------------------------------


BAD_LENGTHS = [
    ([3, 2], ShapeError, r"lengths have shape \(2,\), expected \(3,\)"),
    ([3, 6, 2], ShapeError, r"lengths\[1\] is 6, expected 0 … 5"),
    ([3, 1, -2], ShapeError, r"lengths\[2\] is -2"),
    ([3.0, 1.0, 2.0], DTypeError, "float64, expected integers"),
    ([True, False, True], DTypeError, "bool, expected integers"),
    (3, ShapeError, r"shape \(\)"),
]


@pytest.mark.parametrize(("lengths", "error", "message"), BAD_LENGTHS, ids=str)
def test_bad_lengths(lengths, error, message):
    args = arguments("gru", 5, 3, 4, 6)
    lengths = lengths if isinstance(lengths, list) else np.array(lengths)
    with pytest.raises(error, match=f"gru: .*{message}"):
        gru(*args, lengths=lengths)


def test_lengths_come_as_lists_arrays_or_tensors():
    for given in ([3, 1], (3, 1), np.array([3, 1], np.int32), mg.asarray([3, 1])):
        assert as_lengths("rnn", given, 4, 2) == (3, 1)
    on_device = mg.asarray([3, 1], device="strict")
    assert as_lengths("rnn", on_device, 4, 2) is on_device.data
    args = [mg.asarray(a, device="strict") for a in arguments("gru", 4, 2, 4, 6)]
    with pytest.raises(DeviceError, match="gru: lengths are on strict"):
        gru(*args, lengths=on_device)


@pytest.mark.parametrize(
    ("place", "shape", "message"),
    [
        (0, (5, 3), r"lstm: x has shape \(5, 3\), expected \(T, B, features\)"),
        (0, (5, 3, 7), "lstm: x has 7 features, w_ih expects 4"),
        (1, (2, 6), r"lstm: h0 has shape \(2, 6\), expected \(3, 6\)"),
        (2, (3, 5), r"lstm: c0 has shape \(3, 5\), expected \(3, 6\)"),
        (3, (23, 4), r"lstm: w_ih has shape \(23, 4\)"),
        (4, (24, 5), r"lstm: w_hh has shape \(24, 5\), expected \(24, 6\)"),
        (5, (6,), r"lstm: b_ih has shape \(6,\), expected \(24,\)"),
        (7, (2, 5), r"lstm: w_hh has shape \(24, 6\), expected \(24, 2\)"),
    ],
    ids=str,
)
def test_bad_shapes(place, shape, message):
    args = arguments("lstm", 5, 3, 4, 6)
    args[place] = np.zeros(shape)
    with pytest.raises(ShapeError, match=message):
        lstm(*args)


@kinds
def test_bad_dtypes(kind):
    args = arguments(kind, 5, 3, 4, 6)
    whole = [args[0].astype(np.int64), *args[1:]]
    with pytest.raises(DTypeError, match=f"{kind}: x is int64, expected a floating"):
        OPS[kind][0](*whole)
    mixed = [args[0].astype(np.float32), *args[1:]]
    with pytest.raises(DTypeError, match=f"{kind}: x is float32, w_ih is float64"):
        OPS[kind][0](*mixed)


def test_bad_nonlinearity():
    with pytest.raises(ConfigError, match="'gelu', expected 'tanh' or 'relu'"):
        rnn(*arguments("rnn", 5, 3, 4, 6), nonlinearity="gelu")


# -- a single step -------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_one_step_of_an_lstm_is_its_composite(used, bias):
    """Whichever outputs are used, and wherever the arguments lie in memory."""
    T, B, I, H = 1, 4, 5, 6
    rng = np.random.default_rng(0)
    shapes = [(T, B, I), (B, H), (H, B), (4 * H, I), (4 * H, H)] + [(4 * H,)] * 2 * bias
    given = [rng.uniform(-0.6, 0.6, shape) for shape in shapes]

    def gradients(op):
        x, h, c, *rest = args = [mg.tensor(a, requires_grad=True) for a in given]
        outs = op(x, h, c.T, *rest)
        loss = sum((outs[k] ** 2).sum() for k in used)
        return [loss.numpy(), *(g.numpy() for g in mg.grad(loss, args))]

    def composite(*args):
        return lstm.plain(*args, *[None] * (8 - len(args)), lengths=None, reverse=False)

    for found, wanted in zip(gradients(lstm), gradients(composite), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
