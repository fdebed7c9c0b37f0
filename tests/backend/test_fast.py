"""Compiled kernels: the same numbers as NumPy's, eager and recorded; off where they should be."""

import os
import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import fast

compiled = pytest.mark.skipif(not fast.available(), reason="needs numba: the extra 'fast'")
RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape, np.float32)


def recurrent(kind, **options):
    layer = getattr(nn, kind)(6, 8, **options)
    return lambda x: layer(x)[0], [draw(5, 3, 6)], layer


def padded(kind):
    layer = getattr(nn, kind)(6, 8, bidirectional=True)
    return lambda x: layer(x, lengths=[5, 0, 3])[0], [draw(5, 3, 6)], layer


CASES = {
    "lstm": recurrent("LSTM"),
    "lstm, projected": recurrent("LSTM", proj_size=4),
    "lstm, lengths": padded("LSTM"),
    "gru": recurrent("GRU"),
    "gru, lengths": padded("GRU"),
    "softmax": (mg.softmax, [draw(7, 33)], None),
    "softmax, large scores": (lambda x: mg.softmax(100 * x), [draw(7, 33)], None),
    "log_softmax": (mg.log_softmax, [draw(2, 7, 33)], None),
    "gelu": (lambda x: mg.gelu(4 * x), [draw(7, 33)], None),
    "gelu, tanh": (lambda x: mg.gelu(4 * x, "tanh"), [draw(7, 33)], None),
    "layer_norm": (
        lambda x, w, b: mg.layer_norm(x, 33, w, b), [draw(7, 33), draw(33), draw(33)], None
    ),
    "layer_norm, plain": (lambda x: mg.layer_norm(x, 33), [draw(7, 33)], None),
    "cross_entropy": (lambda x: mg.cross_entropy(x, np.arange(7)), [draw(7, 33)], None),
    "cross_entropy, ignored": (
        lambda x: mg.cross_entropy(x, np.array([1, -100, 2]), reduction="none"), [draw(3, 9)], None
    ),
    "embedding": (lambda w: mg.embedding(w, np.array([[1, 5], [1, 1]])), [draw(9, 4)], None),
    "attention": (
        lambda q, k, v: mg.scaled_dot_product_attention(q, k, v)[0],
        [draw(2, 5, 4), draw(2, 6, 4), draw(2, 6, 3)], None,
    ),
    "attention, causal": (
        lambda q, k, v: mg.scaled_dot_product_attention(q, k, v, is_causal=True)[0],
        [draw(2, 5, 4), draw(2, 6, 4), draw(2, 6, 3)], None,
    ),
    "attention, one sees nothing": (
        lambda q, k, v: mg.scaled_dot_product_attention(q, k, v, np.arange(5)[:, None] > 0)[0],
        [draw(2, 5, 4), draw(2, 6, 4), draw(2, 6, 3)], None,
    ),
    "additive_attention": (
        lambda *x: mg.additive_attention(*x)[0],
        [draw(3, 8), draw(3, 5, 8), draw(3, 5, 6), draw(8)], None,
    ),
    "additive_attention, steps": (
        lambda *x: mg.additive_attention(*x)[0],
        [draw(3, 4, 8), draw(3, 5, 8), draw(3, 5, 6), draw(8)], None,
    ),
}  # fmt: skip


def step(function, inputs, layer):
    """The value and all gradients, for a cotangent that is the same each time."""
    leaves = [mg.asarray(x.copy()).requires_grad_() for x in inputs]
    parameters = [] if layer is None else list(layer.parameters())
    for p in parameters:
        p.grad = None
    y = function(*leaves)
    y.backward(mg.asarray(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape)))
    return [y.numpy().copy(), *(t.grad.numpy().copy() for t in leaves + parameters)]


@compiled
@pytest.mark.parametrize("name", CASES)
def test_same_numbers_as_numpy(name):
    with fast.switched(False):
        expected = step(*CASES[name])
    with fast.switched(True):
        given = step(*CASES[name])
        again = step(*CASES[name])
    for x, y, z in zip(given, expected, again, strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6)
        np.testing.assert_array_equal(x, z)


def moved(kernel, *args, writes):
    """Call the kernel again and again, with its arrays elsewhere in memory: the same bits."""
    rng, places = np.random.default_rng(0), [i for i, a in enumerate(args) if hasattr(a, "dtype")]
    results = set()
    for _ in range(16):
        new, room = list(args), np.zeros(sum(args[i].nbytes + 512 for i in places), np.uint8)
        at = 0
        for i in rng.permutation(places):
            size, item = args[i].nbytes, args[i].itemsize
            at += -(room.ctypes.data + at) % item + item * int(rng.integers(40))
            new[i] = room[at : at + size].view(args[i].dtype).reshape(args[i].shape)
            new[i][...] = args[i]
            at += size
        kernel(*new)
        results.add(b"".join(new[i].tobytes() for i in writes))
    assert len(results) == 1, kernel.__name__
    for i in writes:
        args[i][...] = new[i]


@compiled
@pytest.mark.parametrize("name", CASES)
def test_bits_do_not_depend_on_where_arrays_lie(name, monkeypatch):
    monkeypatch.setattr(fast, "_call", moved)
    with fast.switched(True):
        step(*CASES[name])


@compiled
@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm", "softmax", "additive_attention"])
def test_a_recorded_program_calls_them(name):
    function, inputs, layer = CASES[name]
    eager = step(function, inputs, layer)
    leaves = [mg.asarray(x.copy()).requires_grad_() for x in inputs]
    cotangent = mg.asarray(
        np.cos(np.arange(eager[0].size, dtype=np.float32)).reshape(eager[0].shape)
    )

    @mg.compile
    def train(*leaves):
        y = function(*leaves)
        return (y, *mg.grad((y * cotangent).sum(), list(leaves)))

    for _ in range(3):
        out = train(*leaves)
        for x, y in zip(out, eager, strict=False):
            np.testing.assert_allclose(x.numpy(), y, rtol=1e-6, atol=1e-7)


@compiled
@pytest.mark.parametrize("kind", [mg.optim.Adam, mg.optim.AdamW])
@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True}]
)
def test_adam_makes_the_same_steps(kind, options):
    def train(on):
        with fast.switched(on):
            p = nn.Parameter(np.linspace(-1, 1, 50, dtype=np.float32))
            optimizer = kind([p], lr=0.05, **options)
            for _ in range(5):
                optimizer.zero_grad()
                (p * p * p).sum().backward()
                optimizer.step()
            return p.numpy().copy()

    np.testing.assert_allclose(train(True), train(False), rtol=1e-5, atol=1e-6)


@compiled
def test_adam_is_compiled(monkeypatch):
    from minigrad.backend.fast import kernels

    called, adam = [], kernels.adam
    monkeypatch.setattr(kernels, "adam", lambda *args: (called.append(args), adam(*args)))
    p = nn.Parameter(np.ones(5, np.float32))
    p.grad = mg.ones(5)
    with fast.switched(True):
        mg.optim.AdamW([p]).step()
    assert len(called) == 1


@compiled
def test_nan_and_infinity_keep_their_meaning():
    x = np.array([[np.nan, 0, 1], [np.inf, 0, 0], [-np.inf, 0, 0]], np.float32)
    with fast.switched(True), np.errstate(invalid="ignore"):
        y = mg.softmax(x)
    assert np.isnan(y[0]).all()
    assert np.isnan(y[1]).any()
    np.testing.assert_allclose(y[2], [0, 0.5, 0.5])
    lstm = nn.LSTM(2, 3)
    with fast.switched(True):
        out, _ = lstm(mg.asarray(np.array([[[np.nan, 1.0]]], np.float32)))
    assert np.isnan(out.numpy()).all()


def test_only_float32_and_only_when_on():
    assert fast.lookup("softmax", np.float64) is None
    assert fast.fused(np, "lstm_sequence", np.float64) is None
    with fast.switched(False):
        assert fast.lookup("softmax") is None
        assert fast.fused(np, "lstm_sequence", np.float32) is None


@compiled
def test_what_has_no_kernel_here_is_none():
    with fast.switched(True):
        assert fast.fused(np, "lstm_persistent", np.float32) is None
        assert fast.fused(object(), "lstm_sequence", np.float32) is None


@compiled
def test_a_numba_that_does_not_load_is_reported_once():
    code = (
        "import sys, warnings\n"
        "from minigrad.backend import fast\n"
        "assert fast.available()\n"
        "sys.modules['numba'] = None\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    assert fast.lookup('softmax') is fast.lookup('adam') is None\n"
        "print(len(seen), seen[0].message)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("1 numba is installed but does not load")


@pytest.mark.parametrize("setting", ["0", "1"])
def test_importing_minigrad_imports_no_numba(setting):
    code = (
        "import sys, minigrad as mg; assert 'numba' not in sys.modules; "
        "from minigrad.backend import fast; print(fast.lookup('softmax') is None)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "MINIGRAD_FAST": setting},
    )  # fmt: skip
    assert out.stdout.strip() == str(setting == "0" or not fast.available())
