"""The fused recurrent ops, beyond the op table: padding, PyTorch, sizes, dtypes, layouts."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.recurrent import lstm, rnn
from tests.ops.recurrent import OPS, arguments, assert_close, both, cotangents, kinds, run, ways

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
