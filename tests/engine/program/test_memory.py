"""The memory of programs: planned, no larger than eager's, and nothing new in a replay."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.engine.program.memory import Memory
from minigrad.engine.program.plan import ALIGN, Free, touched


def step_of(model, T=20):
    parameters = list(model.parameters())
    x = mg.asarray(np.random.default_rng(0).standard_normal((T, 16, 32), np.float32))

    def step(x):
        for p in parameters:
            p.grad = None
        y = model(x)
        ((y[0] if isinstance(y, tuple) else y) ** 2).sum().backward()

    return step, x


def peak(function, *args):
    """The most memory that one more call has at a time, beyond what is there before."""
    function(*args)
    function(*args)
    tracemalloc.start()
    try:
        function(*args)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        function(*args)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


MODELS = {
    "LSTM": lambda: nn.LSTM(32, 64, num_layers=2),
    "GRU": lambda: nn.GRU(32, 64),
    "RNN": lambda: nn.RNN(32, 64),
    "MLP": lambda: nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 8)),
    "Transformer": lambda: nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0),
    "LayerNorm": lambda: nn.LayerNorm(32),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_program_needs_no_more_than_eager(name):
    model = MODELS[name]()
    step, x = step_of(model)
    compiled = mg.compile(step)
    compiled(x)
    gradients = sum(p.grad.nbytes for p in model.parameters())  # the program holds them as well
    assert compiled.program.nbytes <= peak(step, x) + gradients


@pytest.mark.parametrize("name", MODELS)
def test_a_replay_makes_no_arrays(name):
    peaks = []
    for T in (8, 64):
        step, x = step_of(MODELS[name](), T)
        compiled = mg.compile(step)
        peaks.append(peak(compiled, x))
    # What is left are NumPy's own buffers for loops over broadcast and strided operands: at most
    # 8,192 elements for each operand, whatever the size.
    assert max(peaks) <= 3 * 8192 * 4 + 4096


def test_memory_that_lives_at_one_time_does_not_overlap():
    step, x = step_of(MODELS["LSTM"]())
    compiled = mg.compile(step)
    compiled(x)
    program = compiled.program
    last = {}
    for i, line in enumerate(program.lines):
        last.update(dict.fromkeys(touched(line), i))
    live: set[Memory] = set()
    for i, line in enumerate(program.lines):
        heirs = {m for m in live if last[m] == i and not m.kept}  # may hand on their place
        live |= {m for m in touched(line) if m.owner is None}
        spans = sorted((m.at, m.at + m.nbytes) for m in live - heirs if m.nbytes)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
        live = {m for m in live if m.kept or last[m] > i}


def test_room_is_given_back_and_joined():
    free = Free()
    places = [free.take(n) for n in (100, 64, 200)]
    assert places == [0, 2 * ALIGN, 3 * ALIGN]
    assert free.size == 7 * ALIGN
    free.give(places[0], 100)
    free.give(places[1], 64)
    assert free.take(3 * ALIGN) == 0  # both gaps, as one
    free.give(places[2], 200)
    assert free.take(5 * ALIGN) == 3 * ALIGN  # the gap at the end grows
    assert free.size == 8 * ALIGN
    assert free.take(0) == 0


def test_large_chains_are_worked_on_in_blocks():
    x = mg.ones((1 << 18,))
    f = mg.compile(lambda x: mg.tanh(x * 2 + 1) - x)
    np.testing.assert_array_equal(f(x).numpy(), (mg.tanh(x * 2 + 1) - x).numpy())
    y = x * 3
    np.testing.assert_array_equal(f(y).numpy(), (mg.tanh(y * 2 + 1) - y).numpy())
    assert len(f.program.lines) == 4
    assert len(f.program.steps) == 4 * 8


def test_blocks_stay_together_where_a_line_reads_another_place():
    x = mg.asarray(np.arange(1 << 17, dtype=np.float32))
    f = mg.compile(lambda x: mg.flip(x * 2) + x)
    for k in (1, 2):
        np.testing.assert_array_equal(f(x * k).numpy(), (mg.flip(x * k * 2) + x * k).numpy())


def test_nothing_that_is_not_needed_is_done():
    w = mg.tensor(np.ones((4, 4)), requires_grad=True)

    @mg.compile
    def f(x):
        mg.exp(x)  # nobody reads it
        return (x @ w).sum()

    f(mg.ones((2, 4), dtype="float64"))
    assert [line.op for line in f.program.lines] == ["matmul", "sum"]


def test_what_never_changes_is_done_once():
    @mg.compile
    def f(x):
        return x + mg.ones(3) * 2

    f(mg.ones(3))
    assert [line.op for line in f.program.lines] == ["add"]
    np.testing.assert_array_equal(f(mg.ones(3) * 5).numpy(), [7.0, 7.0, 7.0])


def test_copies_are_made_where_they_are_wanted():
    table = mg.tensor(np.zeros(4), requires_grad=True)

    @mg.compile
    def f(x):
        table.assign_(x * 2)

    for k in (1.0, 2.0):
        f(mg.full((4,), k, dtype="float64"))
        np.testing.assert_array_equal(table.numpy(), np.full(4, 2 * k))
    assert len(f.program.lines) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(2, 2, 2), (8, 1, 8), (8, 8, 8), (33, 7, 64), (128, 512, 32), (1, 5, 9)]
)
def test_plain_products_have_the_bits_of_matmul(shape, dtype):
    M, K, N = shape
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((M, K)).astype(dtype), rng.standard_normal((K, N)).astype(dtype)
    f = mg.compile(lambda a, b, at, bt: [x @ y for x in (a, at.mT) for y in (b, bt.mT)])
    given = [mg.asarray(x) for x in (a, b, a.T.copy(), b.T.copy())]
    f(*given)
    expected = [x @ y for x in (given[0], given[2].mT) for y in (given[1], given[3].mT)]
    for x, y in zip(f(*given), expected, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    called = {getattr(function, "args", [function])[0] for function, _ in f.program.steps}
    assert called == ({np.matmul} if M == 1 else {np.dot})
