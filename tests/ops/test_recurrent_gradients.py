"""The products of the way back on another thread: the same bits, while the loop goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import fork
from minigrad.ops.recurrent import _gradients, gru, lstm, rnn

OPS = {"rnn": (rnn, 1, 1), "lstm": (lstm, 4, 2), "gru": (gru, 3, 1)}  # op, gates, states
kinds = pytest.mark.parametrize("kind", OPS)
T, B, I, H = 9, 4, 5, 6


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads, which pay for any size, and parts of two steps or fewer."""
    monkeypatch.setattr(_gradients, "BESIDE", 0)
    monkeypatch.setattr(_gradients, "CACHED", 8)
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    yield
    mg.set_num_threads(before)


def arguments(kind, *, projected=False):
    rng = np.random.default_rng(0)
    _, gates, states = OPS[kind]
    P = 3 if projected else H
    shapes = [(T, B, I), (B, P), (B, H)][: 1 + states]
    shapes += [(gates * H, I), (gates * H, P), (gates * H,), (gates * H,)]
    shapes += [(P, H)] * projected
    return [mg.asarray(rng.uniform(-0.6, 0.6, s)).requires_grad_() for s in shapes]


def gradients(kind, args, **params):
    y, *states = OPS[kind][0](*args, **params)
    loss = (y * y).sum() + sum((s * s * s).sum() for s in states)
    return [g.numpy() for g in mg.grad(loss, args)]


@pytest.mark.parametrize("lengths", [None, (9, 0, 4, 7)], ids=["full", "lengths"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@kinds
def test_the_same_bits_as_on_one_thread(kind, reverse, lengths):
    for projected in (False, True)[: 1 + (kind == "lstm")]:
        args = arguments(kind, projected=projected)
        side_by_side = gradients(kind, args, reverse=reverse, lengths=lengths)
        mg.set_num_threads(1)
        expected = gradients(kind, args, reverse=reverse, lengths=lengths)
        mg.set_num_threads(2)
        for a, b in zip(side_by_side, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("small", [1 << 17, 0], ids=["in parts", "at the end"])
@kinds
def test_as_in_one_part(kind, small, monkeypatch):
    args = arguments(kind)
    monkeypatch.setattr(_gradients, "SMALL", small)
    found = gradients(kind, args)
    monkeypatch.setattr(_gradients, "CACHED", 1000)
    mg.set_num_threads(1)
    for a, b in zip(found, gradients(kind, args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@kinds
def test_a_part_is_multiplied_while_the_next_is_written(kind, monkeypatch):
    meetings = []

    def fork_and_meet(step, *products):
        if not isinstance(step.args[0], Iterator):  # the last part has its products alone
            return fork(step, *products)
        both = threading.Barrier(2)
        meetings.append(len(products))

        def meet(branch):
            both.wait(20)  # breaks unless both have begun
            return branch()

        return fork(lambda: meet(step), lambda: meet(products[0]), *products[1:])

    monkeypatch.setattr(_gradients, "fork", fork_and_meet)
    gradients(kind, arguments(kind))
    assert len(meetings) == 4  # five parts: 4 · 8 columns and the last 4


def test_an_error_of_a_product_is_raised_in_the_caller(monkeypatch):
    def fail(*args):
        raise MemoryError("no room")

    monkeypatch.setattr(_gradients.GateGradients, "_products", lambda self, part: [fail])
    with pytest.raises(MemoryError, match="no room"):
        gradients("lstm", arguments("lstm"))


@kinds
def test_a_program_forks_too(kind):
    args = arguments(kind)
    op = OPS[kind][0]

    @mg.compile
    def compiled(x):
        y = op(x, *args[1:])[0]
        return mg.grad((y * y).sum(), args[1:])

    x = args[0].detach()
    eager = [g.numpy() for g in compiled.function(x)]
    for _ in range(3):
        for a, b in zip(compiled(x), eager, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
    assert str(compiled.program).count("fork into") >= 3
    mg.set_num_threads(1)
    for a, b in zip(compiled(x), eager, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
