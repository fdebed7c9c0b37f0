"""Compiled loops over whole sequences: NumPy's numbers for every way that a batch can be cut."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import fast

if not fast.available():
    pytest.skip("needs numba: the extra 'fast'", allow_module_level=True)

from minigrad.backend.fast import blas, sequences
from minigrad.ops.recurrent._schedule import schedule

if blas.sgemm() is None:
    pytest.skip("NumPy multiplies with an unknown library", allow_module_level=True)

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape, np.float32)


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(
    "shape", [(3, 5, 7), (512, 100, 70), (20, 2048, 512), (1, 300, 5000), (2, 0, 3), (0, 2, 3)]
)
def test_product(shape, turned):
    M, K, N = shape
    a, b, start = draw(M, K), draw(K, N), draw(M, N)
    left = np.ascontiguousarray(a.T) if turned[0] else a
    right = np.ascontiguousarray(b.T) if turned[1] else b
    out = start.copy()
    blas.product(tuple(blas.sgemm()), left, turned[0], right, turned[1], out, True)
    np.testing.assert_allclose(out, start + a @ b, rtol=1e-4, atol=1e-4)
    blas.product(tuple(blas.sgemm()), left, turned[0], right, turned[1], out, False)
    np.testing.assert_allclose(out, a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "shape", [(3, 5, 7), (16, 128, 512), (5, 1030, 70), (40, 20, 64), (2, 0, 3), (0, 2, 3)]
)
def test_turned_product(shape):
    M, K, N = shape
    a, w, start = draw(M, K), draw(N, K), draw(M, N)
    panels = np.full((-(-N // blas.WIDE), K, blas.WIDE), np.nan, np.float32)
    blas.turn(w, panels)
    for room in (panels, panels[:0]):
        out = start.copy()
        blas.turned_product(tuple(blas.sgemm()), a, w, room, out, True)
        np.testing.assert_allclose(out, start + a @ w.T, rtol=1e-4, atol=1e-4)
        blas.turned_product(tuple(blas.sgemm()), a, w, room, out, False)
        np.testing.assert_allclose(out, a @ w.T, rtol=1e-4, atol=1e-4)


LENGTHS = {"full": None, "padded": [40, 3, 0, 17, 40, 1, 22, 39, 5]}


@pytest.mark.parametrize("room", [50, 100_000])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
def test_each_row_is_projected_before_its_step_and_summed_once(lengths, reverse, room):
    batch = schedule(40, 9, lengths and tuple(lengths), reverse)
    steps = sequences.steps_of(batch, min(room, batch.size))
    projected, summed = np.zeros(batch.size), np.zeros(batch.size, int)
    for start, n, low, high, *_ in steps:
        assert (projected[low:high] >= 0).all()  # the gates of a step taken are not written again
        projected[low:high] = 1
        assert (projected[start : start + n] == 1).all()
        projected[start : start + n] = -1
    written = set()
    for start, n, _, _, origin, done, end in steps[::-1]:
        assert start - origin >= 0
        assert start + n - origin <= room
        written |= set(range(start, start + n))
        assert written >= set(range(done, end))
        summed[done:end] += 1
    assert (summed == 1).all()


def layer(kind, H, **options):
    return getattr(nn, kind)(7, H, bidirectional=True, **options)


CASES = {
    "LSTM": layer("LSTM", 8),
    "LSTM, projected": layer("LSTM", 8, proj_size=5),
    "LSTM, no bias": layer("LSTM", 8, bias=False),
    "LSTM, large": layer("LSTM", 200),
    "GRU": layer("GRU", 8),
    "GRU, large": layer("GRU", 200),
    "RNN": layer("RNN", 8),
    "RNN, relu": layer("RNN", 8, nonlinearity="relu"),
}


def run(module, x, lengths, states, on):
    """Outputs, last states, and all gradients, twice: the second time from the same tape."""
    with fast.switched(on):
        x = mg.tensor(x, requires_grad=True)
        states = [mg.tensor(s, requires_grad=True) for s in states]
        y, last = module(x, states[0] if len(states) == 1 else tuple(states), lengths=lengths)
        lasts = [last] if len(states) == 1 else list(last)
        loss = (y * y).sum() + sum((s * s * s).sum() for s in lasts)
        leaves = [x, *states, *module.parameters()]
        once, again = mg.grad(loss, leaves, retain_graph=True), mg.grad(loss, leaves)
        for g, h in zip(once, again, strict=True):
            np.testing.assert_array_equal(g.numpy(), h.numpy())
        return [t.numpy() for t in (y, *lasts, *once)]


def states_of(module, B):
    widths = [module.hidden_size]
    if isinstance(module, nn.LSTM):
        widths = [module.proj_size or module.hidden_size, module.hidden_size]
    return [draw(2, B, width) for width in widths]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
@pytest.mark.parametrize("T", [1, 40])
@pytest.mark.parametrize("name", CASES)
def test_layers(name, T, lengths):
    module = CASES[name]
    lengths = lengths and [min(T, n) for n in lengths]
    x, states = draw(T, 9, 7), states_of(module, 9)
    given, expected = (run(module, x, lengths, states, on) for on in (True, False))
    for mine, numpys in zip(given, expected, strict=True):
        scale = max(1, np.abs(numpys).max(initial=0))
        np.testing.assert_allclose(mine / scale, numpys / scale, atol=2e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
def test_first_states_that_are_zero_get_their_gradient(kind, lengths):
    module, x = layer(kind, 8), draw(40, 9, 7)
    zeros = [np.zeros_like(s) for s in states_of(module, 9)]
    given, expected = (run(module, x, lengths, zeros, on) for on in (True, False))
    for mine, numpys in zip(given, expected, strict=True):
        np.testing.assert_allclose(mine, numpys, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_inference_keeps_nothing_and_gives_the_same(name):
    module, x = CASES[name], draw(40, 9, 7)
    for lengths in LENGTHS.values():
        with fast.switched(True):
            kept = module(mg.tensor(x, requires_grad=True), lengths=lengths)[0]
            with mg.no_grad():
                alone = module(mg.tensor(x), lengths=lengths)[0]
        np.testing.assert_allclose(alone.numpy(), kept.numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3, 7), (4, 0, 7)])
def test_empty(shape):
    for module in CASES.values():
        x = mg.tensor(draw(*shape), requires_grad=True)
        y = module(x)[0]
        y.sum().backward()
        assert y.shape[:2] == shape[:2]
        assert x.grad.shape == shape


def test_frozen_weights_and_inputs():
    module = nn.LSTM(7, 8)
    module.weight_hh_l0.requires_grad_(False)
    with fast.switched(True):
        module(mg.tensor(draw(5, 3, 7)))[0].sum().backward()
    assert module.weight_hh_l0.grad is None
    assert module.weight_ih_l0.grad is not None


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_nan_and_infinity_pass_as_in_numpy(nonlinearity):
    module, x = nn.RNN(7, 8, nonlinearity=nonlinearity), draw(5, 3, 7)
    x[1, 0, 0], x[2, 1, 3] = np.nan, np.inf
    values = []
    for on in (True, False):
        with fast.switched(on), np.errstate(all="ignore"):
            values.append(module(mg.tensor(x))[0].numpy())
    np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)


def test_a_slice_of_the_batch_and_turned_weights_are_read_as_they_are():
    module, x = nn.GRU(7, 8), draw(6, 7, 4)
    wide = mg.tensor(x).mT[:, ::2]
    values = []
    for on in (True, False):
        with fast.switched(on):
            values.append(module(wide)[0].numpy())
    np.testing.assert_allclose(*values, atol=1e-6)
