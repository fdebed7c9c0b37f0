"""The memory of programs: planned, and nothing new in a replay; how much it is: `test_peaks`."""

from __future__ import annotations

import itertools
import random
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.engine.program import calls, plan
from minigrad.engine.program.line import Line
from minigrad.engine.program.memory import ALIGN, Memory, Ref
from minigrad.engine.program.plan import Plan, touched
from tests.allocations import allocations


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
def test_a_replay_makes_no_arrays(name):
    peaks = []
    for T in (8, 64):
        step, x = step_of(MODELS[name](), T)
        compiled = mg.compile(step)
        peaks.append(peak(compiled, x))
    # What is left are NumPy's own buffers for loops over broadcast and strided operands: at most
    # 8,192 elements for each operand, whatever the size.
    assert max(peaks) <= 3 * 8192 * 4 + 4096


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_allocates_no_array(name):
    """Forward, backward and Adam: not one array beyond single numbers, not for a moment.

    A softmax is called whole, because it looks at values: it makes one number per row.
    """
    model = MODELS[name]()
    optimizer = mg.optim.Adam(model.parameters())
    x = mg.asarray(np.random.default_rng(0).standard_normal((20, 16, 32), np.float32))
    rows = 20 * 4 * 16 if name == "Transformer" else 0

    @mg.compile
    def step(x):
        optimizer.zero_grad()
        y = model(x)
        loss = ((y[0] if isinstance(y, tuple) else y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(x)
    with allocations() as sizes:
        step(x)
    assert [size for size in sizes if size > max(8, 4 * rows)] == []
    assert len(sizes) < 20


@pytest.mark.parametrize("train", [True, False])
def test_what_a_kernel_keeps_for_its_backward_is_gone_afterwards(train):
    """With lengths in an array a layer is called whole, and keeps all its steps."""
    layer, lengths = nn.LSTM(32, 64), np.array([20] * 8 + [9] * 8)

    @mg.compile
    def step(x, lengths):
        layer.zero_grad()
        loss = (layer(x, lengths=lengths)[0] ** 2).sum()
        if train:
            loss.backward()
        return loss

    x = mg.asarray(np.random.default_rng(0).standard_normal((20, 16, 32), np.float32))
    step(x, lengths)
    assert sum(line.function is calls.whole for line in step.program.lines) == 1 + train
    tracemalloc.start()
    try:
        for _ in range(2):
            step(x, lengths)
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most > 20 * 16 * 64 * 4  # it was there
    assert left < 1 << 16


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


@pytest.mark.parametrize("many", [plan.MANY, 0], ids=["large first", "by time"])
@pytest.mark.parametrize("seed", range(40))
def test_branches_do_not_share_memory_at_one_time(seed, many, monkeypatch):
    monkeypatch.setattr(plan, "MANY", many)
    lines = random_lines(random.Random(seed))
    at = Plan(lines, {m for line in lines for m in touched(line) if m.kept}).at
    for k in range(2):  # as branch k sees it: all of the other one happens beside each of its lines
        times = []
        for line in lines:
            if line.branches:
                beside = {m for each in line.branches[1 - k] for m in touched(each)}
                beside -= {m for each in line.branches[k] for m in touched(each)}
                times += [(set(touched(each)), beside) for each in line.branches[k]]
            else:
                times.append((set(touched(line)), set()))
        last, first = {}, {}
        for i, (mine, beside) in enumerate(times):
            for m in mine | beside:
                first.setdefault(m, i)
                last[m] = len(times) if m.kept else i
        for i, (mine, beside) in enumerate(times):
            live = {m for m in last if first[m] <= i <= last[m]}
            heirs = {m for m in live & mine if last[m] == i}  # may hand on their place
            spans = sorted((at[m], at[m] + m.nbytes) for m in live - heirs - beside)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
            others = [(at[m], at[m] + m.nbytes) for m in live & beside]
            own = [(at[m], at[m] + m.nbytes) for m in live - beside]
            assert all(a[1] <= b[0] or b[1] <= a[0] for a in own for b in others)


def random_lines(draw):
    """Sums of what is there, into new memory; some on two threads."""
    known = []

    def line(known):
        n = draw.choice([64, 64, 128, 1024])
        same = [ref for ref in known if ref.shape == (n,)]
        new = Ref.compact(Memory(4 * n), (n,), np.dtype(np.float32))
        new.memory.kept = draw.random() < 0.1
        args = [draw.choice(same) if same else np.float32(1) for _ in range(2)]
        known.append(new)
        reads = [ref.memory for ref in args if same]
        return Line(np.add, (*args, new), {}, reads, [new.memory], "", None)

    lines = []
    for _ in range(8):
        lines += [line(known) for _ in range(draw.randrange(4))]
        inside = [list(known), list(known)]
        parts = [[line(refs) for _ in range(draw.randrange(1, 8))] for refs in inside]
        reads = [m for part in parts for each in part for m in each.reads]
        writes = [m for part in parts for each in part for m in each.writes]
        lines.append(Line(len, (), {}, reads, writes, "fork", None, branches=parts))
        known = draw.sample(union := [*inside[0], *inside[1]], len(union) // 2)
    return lines


def test_what_is_over_makes_room():
    sizes = 100, 64, 200, 3 * ALIGN, 5 * ALIGN
    a, b, c, d, e = (Memory(n) for n in sizes)

    def line(*memories):
        return Line(len, (), {}, memories, (), "", None)

    placed = Plan([line(a, b, c), line(c, d), line(e)])
    assert (placed.at[a], placed.at[b], placed.at[c]) == (4 * ALIGN, 6 * ALIGN, 0)
    assert (placed.at[d], placed.at[e]) == (4 * ALIGN, 0)  # d where a and b were
    assert placed.size == 7 * ALIGN


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
    assert called == {np.dot}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_with_vectors_have_the_bits_of_matmul(dtype):
    rng = np.random.default_rng(0)
    m = mg.asarray(rng.standard_normal((33, 70)).astype(dtype))
    u, v = (mg.asarray(rng.standard_normal(n).astype(dtype)) for n in m.shape)
    f = mg.compile(lambda m, u, v: [u @ m, m @ v, m.mT @ u, v @ m.mT])
    f(m, u, v)
    for x, y in zip(f(m, u, v), f.function(m, u, v), strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    assert {function for function, _ in f.program.steps} == {np.dot}
