"""What recurrent layers allocate, and leave behind."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import fast
from minigrad.ops.recurrent import _both, _gradients
from tests.allocations import allocations


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("lengths", [None, [5, 3, 1]])
def test_nothing_is_left_to_the_garbage_collector(layer, lengths):
    model, x = layer(4, 6, bidirectional=True), mg.randn(5, 3, 4)

    def step():
        y, _ = model(x, lengths=lengths)
        (y * y).sum().backward()

    step()
    gc.collect()
    gc.disable()
    try:
        step()
        assert gc.collect() == 0
    finally:
        gc.enable()


MAKERS = ("empty", "empty_like", "zeros", "zeros_like", "ones", "full", "array", "concatenate")


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_no_step_makes_an_array(layer, monkeypatch):
    """Scratch is made once for all steps with the same number of sequences."""
    model, made = layer(4, 6), []

    def arrays_made(steps):
        x = mg.randn(steps, 3, 4)
        made.clear()
        y, _ = model(x)
        (y * y).sum().backward()
        return list(made)

    with fast.switched(False):
        arrays_made(5), arrays_made(50)  # what is made once, and once per length
    for name in MAKERS:
        make = getattr(np, name)
        monkeypatch.setattr(
            np, name, lambda *args, make=make, **kw: made.append(make) or make(*args, **kw)
        )
    with fast.switched(False):
        few, many = arrays_made(5), arrays_made(50)
    assert len(few) > 3
    # Inputs of one or two sequences would be projected in chunks; here, three are folded in.
    assert [f.__name__ for f in many] == [f.__name__ for f in few]


@pytest.mark.parametrize(("layer", "threads"), [(nn.LSTM, 1), (nn.LSTM, 2), (nn.GRU, 2)])
def test_memory_does_not_grow(layer, threads, monkeypatch):
    for module, name in ((_both, "WORTH"), (_gradients, "BESIDE")):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(_gradients, "CACHED", 8)
    before = mg.get_num_threads()
    mg.set_num_threads(threads)
    model, x = layer(16, 32, bidirectional=True), mg.randn(8, 4, 16)
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 9, 4).tolist() for _ in range(2)]

    def epoch():
        for lengths in batches:
            model.zero_grad()
            y, _ = model(x, lengths=lengths)
            (y * y).sum().backward()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        epoch()
        first, *_, last = [epoch() for _ in range(10)]
    finally:
        tracemalloc.stop()
        mg.set_num_threads(before)
    outputs = 4 * 8 * 4 * 64  # bytes; a thread may still hold what it did last
    assert last - first < 9 * len(batches) * outputs / 2


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_eager_step_allocates_as_often_for_many_time_steps_as_for_few(layer, bidirectional):
    model, counts = layer(16, 32, bidirectional=bidirectional), []
    before = mg.get_num_threads()
    mg.set_num_threads(1)
    try:
        for T in (8, 32):
            x = mg.randn(T, 4, 16)
            for _ in range(3):
                model.zero_grad()
                with allocations() as sizes:
                    y, _ = model(x)
                    (y * y).sum().backward()
            counts.append(len(sizes))
    finally:
        mg.set_num_threads(before)
    assert counts[0] == counts[1] < 150
