"""The fused recurrent ops, beyond the op table: padding, PyTorch, sizes, fast paths, bad input."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minigrad.ops.recurrent import _gradients, _products, _schedule, _shared, gru, lstm, rnn
from minigrad.ops.recurrent.checks import as_lengths

OPS = {"rnn": (rnn, 1, 1), "lstm": (lstm, 4, 2), "gru": (gru, 3, 1)}  # op, gates, states
kinds = pytest.mark.parametrize("kind", OPS)
ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def arguments(kind, T, B, I, H, *, seed=0, dtype="float64", proj=0, bias=True):
    """x, the initial states, and the weights, as host arrays."""
    rng = np.random.default_rng(seed)
    _, gates, states = OPS[kind]
    P = proj or H
    shapes = [(T, B, I), (B, P), (B, H)][: 1 + states]
    shapes += [(gates * H, I), (gates * H, P), (gates * H,), (gates * H,)]
    args = [rng.uniform(-0.6, 0.6, shape).astype(dtype) for shape in shapes]
    if not bias:
        args[-2:] = [None, None]
    if kind == "lstm":
        args.append(rng.uniform(-0.6, 0.6, (P, H)).astype(dtype) if proj else None)
    return args


def cotangents(ys, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(y.shape).astype(y.dtype) for y in ys]


def run(function, args, vs=None, **params):
    """Outputs, and the gradient of Σ v · output with respect to each argument."""
    xs = [None if a is None else mg.asarray(a).requires_grad_() for a in args]
    ys = function(*xs, **params)
    vs = cotangents(ys) if vs is None else vs
    wanted = [x for x in xs if x is not None]
    grads = mg.grad(list(ys), wanted, [mg.asarray(v) for v in vs])
    found = iter([g.numpy() for g in grads])
    return [y.numpy() for y in ys], [None if a is None else next(found) for a in args]


def both(result):
    """Outputs and gradients in one list."""
    return [*result[0], *result[1]]


def assert_close(got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        if a is not None or b is not None:
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# -- padding -----------------------------------------------------------------------------------


LENGTHS = (3, 0, 6, 1, 3, 5)


@ways
@kinds
def test_padded_batch_is_each_sequence_alone(kind, reverse):
    op = OPS[kind][0]
    T, B = 7, len(LENGTHS)  # longer than any sequence
    args = arguments(kind, T, B, 4, 5)
    states = OPS[kind][2]
    for b, length in enumerate(LENGTHS):
        args[0][length:, b] = np.nan
    ys, grads = run(op, args, lengths=LENGTHS, reverse=reverse)
    vs = cotangents(ys)
    totals = [0.0 if a is None else np.zeros_like(a) for a in args[1 + states :]]
    for b, length in enumerate(LENGTHS):
        one = [args[0][:length, b : b + 1], *(s[b : b + 1] for s in args[1 : 1 + states])]
        v = [vs[0][:length, b : b + 1], *(v[b : b + 1] for v in vs[1:])]
        y_alone, g_alone = run(op, one + args[1 + states :], v, reverse=reverse)
        assert_close([ys[0][:length, b : b + 1]], y_alone[:1], 1e-14)
        assert_close([y[b : b + 1] for y in ys[1:]], y_alone[1:], 1e-14)
        assert_close([grads[0][:length, b : b + 1]], g_alone[:1], 1e-13)
        mine = [g[b : b + 1] for g in grads[1 : 1 + states]]
        assert_close(mine, g_alone[1 : 1 + states], 1e-13)
        for k, g in enumerate(g_alone[1 + states :]):
            totals[k] = None if g is None else totals[k] + g
    assert_close(grads[1 + states :], totals, 1e-12)


@ways
@kinds
def test_padding_is_zero_and_never_read(kind, reverse):
    args = arguments(kind, 7, len(LENGTHS), 4, 5)
    ys, grads = run(OPS[kind][0], args, lengths=LENGTHS, reverse=reverse)
    rubbish = [a if a is None else a.copy() for a in args]
    for b, length in enumerate(LENGTHS):
        assert not ys[0][length:, b].any()
        assert not grads[0][length:, b].any()
        rubbish[0][length:, b] = np.nan
    again = run(OPS[kind][0], rubbish, lengths=LENGTHS, reverse=reverse)
    assert_close(both(again), ys + grads, 0)  # to the last bit


@kinds
def test_gradients_that_reach_padded_outputs_are_dropped(kind):
    args = arguments(kind, 7, len(LENGTHS), 4, 5)
    ys, grads = run(OPS[kind][0], args, lengths=LENGTHS)
    vs = cotangents(ys)
    for b, length in enumerate(LENGTHS):
        vs[0][length:, b] = np.nan
    assert_close(run(OPS[kind][0], args, vs, lengths=LENGTHS)[1], grads, 0)


@ways
@kinds
def test_composite_does_not_leak_padding_either(kind, reverse):
    op = OPS[kind][0]
    args = arguments(kind, 7, len(LENGTHS), 4, 5)
    for b, length in enumerate(LENGTHS):
        args[0][length:, b] = np.nan
    params = {"lengths": LENGTHS, "reverse": reverse}
    plain = {**params, "nonlinearity": "tanh"} if kind == "rnn" else params
    fused = run(op, args, **params)
    assert_close(both(run(op.plain, args, **plain)), both(fused), 1e-13)


@kinds
def test_length_zero_keeps_the_initial_state(kind):
    args = arguments(kind, 3, 2, 4, 5)
    ys, grads = run(OPS[kind][0], args, lengths=(0, 0))
    vs = cotangents(ys)
    assert not ys[0].any()
    assert_close(ys[1:], args[1 : len(ys)], 0)
    assert_close(grads[1 : len(ys)], vs[1:], 0)
    assert not any(g.any() for g in grads[len(ys) :] if g is not None)


@kinds
def test_reverse_is_forward_on_flipped_sequences(kind):
    args = arguments(kind, 5, 3, 4, 5)
    ys, grads = run(OPS[kind][0], args, reverse=True)
    vs = cotangents(ys)
    args[0], vs[0] = args[0][::-1], vs[0][::-1]
    flipped, flipped_grads = run(OPS[kind][0], args, vs)
    assert_close([ys[0][::-1], *ys[1:]], flipped, 1e-14)
    assert_close([grads[0][::-1], *grads[1:]], flipped_grads, 1e-13)


# -- PyTorch -----------------------------------------------------------------------------------


def torch_answer(kind, args, lengths, reverse, **options):
    torch = pytest.importorskip("torch")
    I = args[0].shape[2]
    states = OPS[kind][2]
    H = args[1 + states].shape[0] // OPS[kind][1]
    weights = [a for a in args[1 + states :] if a is not None]
    cls = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
    bias = args[3 + states] is not None
    layer = cls(I, H, bias=bias, bidirectional=True, dtype=torch.float64, **options)
    mine = [p for n, p in layer.named_parameters() if n.endswith("reverse") == reverse]
    with torch.no_grad():
        for p, a in zip(mine, weights, strict=True):
            p.copy_(torch.tensor(a))
    x = torch.tensor(args[0], requires_grad=True)
    starts = [torch.tensor(s, requires_grad=True) for s in args[1 : 1 + states]]
    pairs = [torch.stack([s, s]) for s in starts]
    given = pairs[0] if states == 1 else tuple(pairs)
    if lengths is None:
        y, last = layer(x, given)
    else:
        pack = torch.nn.utils.rnn.pack_padded_sequence
        packed = pack(x, torch.tensor(lengths), enforce_sorted=False)
        y, last = layer(packed, given)
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=len(args[0]))
    P = y.shape[2] // 2
    ys = [y[..., P:] if reverse else y[..., :P]]
    ys += [s[int(reverse)] for s in ((last,) if states == 1 else last)]
    vs = cotangents([y.detach().numpy() for y in ys])
    sum((y * torch.tensor(v)).sum() for y, v in zip(ys, vs, strict=True)).backward()
    grads = iter([t.grad.numpy() for t in [x, *starts, *mine]])
    found = [None if a is None else next(grads) for a in args]
    return [y.detach().numpy() for y in ys], found


@pytest.mark.parametrize("lengths", [None, (4, 6, 1, 3)], ids=["full", "packed"])
@ways
@kinds
def test_as_in_torch(kind, reverse, lengths):
    args = arguments(kind, 6, 4, 3, 8)
    expected = torch_answer(kind, args, lengths, reverse)
    got = run(OPS[kind][0], args, lengths=lengths, reverse=reverse)
    assert_close(both(got), both(expected), 1e-12)


@pytest.mark.parametrize("options", [{"proj_size": 3}, {}], ids=["projected", "no bias"])
def test_lstm_options_as_in_torch(options):
    proj = options.get("proj_size", 0)
    args = arguments("lstm", 6, 4, 3, 8, proj=proj, bias=bool(proj))
    expected = torch_answer("lstm", args, (6, 2, 1, 5), True, **options)
    got = run(lstm, args, lengths=(6, 2, 1, 5), reverse=True)
    assert_close(both(got), both(expected), 1e-12)


def test_relu_as_in_torch():
    args = arguments("rnn", 6, 4, 3, 8)
    expected = torch_answer("rnn", args, None, False, nonlinearity="relu")
    assert_close(both(run(rnn, args, nonlinearity="relu")), both(expected), 1e-12)


# -- sizes, dtypes, layouts --------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)], ids=str)
@ways
@kinds
def test_no_steps_or_no_sequences(kind, reverse, shape):
    op = OPS[kind][0]
    T, B = shape
    args = arguments(kind, T, B, 4, 5)
    for lengths in (None, (0,) * B):
        ys, grads = run(op, args, lengths=lengths, reverse=reverse)
        assert ys[0].shape == (T, B, 5)
        assert_close(ys[1:], args[1 : len(ys)], 0)
        assert_close(grads[1 : len(ys)], cotangents(ys)[1:], 0)
        assert not any(g.any() for g in grads[len(ys) :] if g is not None)
        params = {"nonlinearity": "tanh"} if kind == "rnn" else {}
        plain = [mg.asarray(a) if a is not None else None for a in args]
        composed = op.plain(*plain, lengths=lengths, reverse=reverse, **params)
        assert_close([y.numpy() for y in composed], ys, 0)


@kinds
def test_one_step(kind):
    args = arguments(kind, 1, 3, 4, 5)
    forward, backward = (run(OPS[kind][0], args, reverse=reverse) for reverse in (False, True))
    assert_close(both(forward), both(backward), 0)
    y, last = forward[0][:2]
    assert_close(y, [last], 0)


@kinds
def test_float32_stays_and_is_as_exact_as_float32_can_be(kind):
    args = arguments(kind, 9, 8, 40, 40, dtype="float32")
    ys, grads = run(OPS[kind][0], args)
    wide = [None if a is None else a.astype(np.float64) for a in args]
    ys64, grads64 = run(OPS[kind][0], wide, [v.astype(np.float64) for v in cotangents(ys)])
    assert {a.dtype for a in ys + grads if a is not None} == {np.dtype(np.float32)}
    assert_close(ys, ys64, 2e-5)
    scale = max(np.abs(g).max() for g in grads64 if g is not None)
    for g, h in zip(grads, grads64, strict=True):
        if g is not None:
            np.testing.assert_allclose(g, h, atol=2e-6 * scale, rtol=1e-4)


@kinds
def test_any_memory_layout(kind):
    args = arguments(kind, 5, 3, 4, 6)
    expected = run(OPS[kind][0], args)
    args[0] = np.asfortranarray(args[0])
    args[1] = np.repeat(args[1], 2, axis=1)[:, ::2]
    args[3] = np.asfortranarray(args[3])
    assert_close(both(run(OPS[kind][0], args)), both(expected), 1e-14)


@kinds
def test_inputs_are_not_written(kind):
    args = arguments(kind, 5, 3, 4, 6)
    before = [None if a is None else a.copy() for a in args]
    run(OPS[kind][0], args, lengths=(5, 2, 0), reverse=True)
    assert_close(args, before, 0)


@kinds
def test_backward_can_run_again(kind):
    xs = [a if a is None else mg.asarray(a).requires_grad_() for a in arguments(kind, 5, 3, 4, 6)]
    wanted = [x for x in xs if x is not None]
    y = OPS[kind][0](*xs, lengths=(5, 2, 3))[0].sum()
    first = mg.grad(y, wanted, retain_graph=True)
    second = mg.grad(y, wanted)
    assert_close([g.numpy() for g in first], [g.numpy() for g in second], 0)


@kinds
def test_only_the_gradients_asked_for(kind):
    args = arguments(kind, 5, 3, 4, 6)
    vs = cotangents(OPS[kind][0](*args))
    _, full = run(OPS[kind][0], args, [vs[0], *(0 * v for v in vs[1:])])
    for chosen, a in enumerate(args):
        if a is None:
            continue
        xs = [None if b is None else mg.asarray(b) for b in args]
        xs[chosen].requires_grad_()
        ys = OPS[kind][0](*xs)
        g = mg.grad(ys[0], xs[chosen], mg.asarray(vs[0]))
        assert_close([g.numpy()], [full[chosen]], 1e-13)


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
    _products.cut.cache_clear()
    yield
    _products.cut.cache_clear()


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
