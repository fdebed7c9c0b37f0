"""What a program does beyond eager fits into eager's memory; forks, shared out among threads."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import fork
from minigrad.engine.program import program
from minigrad.engine.program.forks import shared
from minigrad.engine.program.layout import LENGTHS, laid_out
from minigrad.engine.program.line import Line
from minigrad.engine.program.memory import Memory, Ref, Usage


@pytest.fixture
def two_threads():
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    yield
    mg.set_num_threads(before)


def test_less_is_put_together_where_there_is_less_memory(monkeypatch):
    w = mg.tensor(np.ones((8, 8)), requires_grad=True)

    @mg.compile
    def step(x):
        w.grad = None
        h = mg.zeros((8, 8), dtype="float64")
        for t in range(64):
            h = mg.tanh(x[t] @ w + h @ w)
        h.sum().backward()

    given = []
    monkeypatch.setattr(program, "laid_out", lambda *args: given.append(args) or laid_out(*args))
    step(mg.ones((64, 8, 8), dtype="float64"))
    lines, kept, most = given[0]
    bound, layout = 1 << 30, laid_out(lines, kept, 1 << 30)
    together = []
    while layout.plan.size <= bound:
        together.append(sum(line.times > 1 for line in layout.lines) and
                        max(line.times for line in layout.lines))  # fmt: skip
        bound = layout.plan.size - 1
        layout = laid_out(lines, kept, bound)
    assert together[0] == LENGTHS[0] // 8
    assert together[-1] == 0
    assert bound < most  # nothing together: no more than eager


def test_constants_are_computed_again_where_there_is_no_room_to_keep_them():
    @mg.compile
    def f(x):
        for t in range(64):
            x = x + mg.ones((64,)) * t
        return x

    f(mg.ones((64,)))
    assert f.program.nbytes <= 3 * 64 * 4
    assert f.program.constants == []
    np.testing.assert_array_equal(f(mg.ones((64,))).numpy(), np.full(64, 1 + 63 * 32, np.float32))


def product(rows):
    a, b, out = (Ref.compact(Memory(0), (rows, rows), np.dtype(np.float32)) for _ in range(3))
    return Line(np.matmul, (a, b, out), {}, [a.memory, b.memory], [out.memory], "", None)


def test_branches_are_shared_out_by_their_work(two_threads):
    large, middle, small, smaller = ([product(n)] for n in (256, 200, 150, 140))
    branches = [small, large, smaller, middle]
    (line,) = shared([Line(len, (), {}, [], [], "fork", None, branches=branches)])
    assert line.branches == [large, [*middle, *small, *smaller]]


def test_a_fork_in_a_branch_is_none(two_threads):
    def inner(x):
        return sum(fork(lambda: x + 1, lambda: x * 2))

    @mg.compile
    def f(x):
        return fork(lambda: inner(x), lambda: inner(x * 3))

    for x in (mg.ones(3), mg.ones(3) * 2):
        for y, z in zip(f(x), f.function(x), strict=True):
            np.testing.assert_array_equal(y.numpy(), z.numpy())
    (line,) = [line for line in f.program.lines if line.branches]
    assert not any(each.branches for branch in line.branches for each in branch)


def test_one_thread_has_no_forks(two_threads):
    @mg.compile
    def f(x):
        return fork(lambda: x + 1, lambda: x * 2)

    for threads, forks in ((2, 1), (1, 0), (2, 1)):
        mg.set_num_threads(threads)
        f(mg.ones(3))
        assert sum(bool(line.branches) for line in f.program.lines) == forks


def test_usage_is_what_arrays_take_while_they_are_there():
    usage, arrays, refs = Usage(), {}, []

    def make(name, size):
        arrays[name] = np.empty(size, np.uint8)
        refs.append(usage.count(arrays[name]))

    make("a", 1000)
    make("b", 2000)
    one = usage.now - 3000
    del arrays["b"]
    make("c", 500)
    assert usage.now == 1500 + one
    assert usage.most == 3000 + one

    def branch(size):
        make("temporary", size)
        del arrays["temporary"]

    usage.beside([lambda n=n: branch(n) for n in (3000, 5000, 4000)], threads=2)
    assert usage.now == 1500 + one
    assert usage.most == 1500 + 5000 + 4000 + 2 * one
