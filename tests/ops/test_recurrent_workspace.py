"""What loops work in is kept from call to call, and nothing that they hand out lies in it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import fast
from minigrad.ops.recurrent import _workspace
from minigrad.ops.recurrent._workspace import workspace
from tests.allocations import allocations

F4 = np.dtype("float32")
LAYERS = pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No workspaces of others, one thread, NumPy's loops."""
    monkeypatch.setattr(_workspace, "_IDLE", _workspace._Idle())
    before = mg.get_num_threads()
    mg.set_num_threads(1)
    with fast.switched(False):
        yield
    mg.set_num_threads(before)


def arrays(x):
    """The arrays that are made for a forward and a backward pass, a page or more."""
    with allocations() as sizes:
        y, _ = x.layer(x.x, lengths=x.lengths)
        y.backward(x.g)
    return [n for n in sizes if n >= 4096]


def test_the_next_call_of_this_shape_gets_it():
    first = workspace(np, 4, F4, "lstm", (8, 3))
    first.keep()
    assert workspace(np, 4, F4, "lstm", (8, 4)) is not first
    assert workspace(np, 4, F4, "lstm", (8, 3)) is first
    assert workspace(np, 4, F4, "lstm", (8, 3)) is not first  # it is in use


def test_a_narrow_run_works_in_the_beginning_of_the_same_memory():
    space = workspace(np, 4, F4, "lstm")
    wide, narrow = (space.columns("gates", n, 2, 3) for n in (4, 1))
    assert narrow.shape == (2, 3, 1)
    assert narrow.flags.c_contiguous
    assert narrow.__array_interface__["data"] == wide.__array_interface__["data"]
    assert space.columns("gates", 1, 2, 3) is narrow
    assert not np.shares_memory(space.columns("state", 4, 2, 3), wide)


def test_a_thread_keeps_no_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(_workspace, "LIMIT", 100)
    spaces = [workspace(np, 1, F4, k) for k in range(3)]
    for space in spaces:
        space.array("a", 12)  # 48 bytes
        space.keep()
    assert list(_workspace._IDLE.of.values()) == spaces[1:]
    spaces[0].array("b", 100)
    spaces[0].keep()  # larger than all that may be kept
    assert list(_workspace._IDLE.of.values()) == spaces[1:]


def test_what_a_product_works_in_counts_as_well():
    space = workspace(np, 64, F4)
    a = space.array("a", 3072, 768)  # cut along the inner axis
    before = space.nbytes
    with allocations() as sizes:
        space.product(a, 64)
    assert sum(n for n in sizes if n >= 4096) == space.nbytes - before


def test_each_thread_has_its_own():
    space, found = workspace(np, 1, F4), []
    space.keep()
    thread = threading.Thread(target=lambda: found.append(workspace(np, 1, F4)))
    thread.start()
    thread.join()
    assert found[0] is not space


class Case:
    """A layer, its input, the gradient of its output."""

    def __init__(self, layer, lengths=None):
        self.layer, self.lengths = layer(32, 48), lengths
        self.x = mg.randn(12, 16, 32, requires_grad=True)
        self.g = mg.randn(12, 16, 48)


@LAYERS
@pytest.mark.parametrize("lengths", [None, [12, 12, 9, 9, 9, 8, 7, 6, 5, 4, 3, 3, 2, 1, 1, 0]])
def test_a_steady_step_makes_only_what_it_hands_out_and_saves(layer, lengths):
    case = Case(layer, lengths)
    first, second, third = (len(arrays(case)) for _ in range(3))
    assert third == second < first
    # Saved for the way back: one block for each run of steps with the same number of sequences.
    runs = 1 if lengths is None else len(set(lengths) - {0})
    assert second - runs <= 24, second


@LAYERS
@pytest.mark.parametrize("lengths", [None, [3, 1, 2, 0]])
def test_what_a_call_hands_out_and_saves_stays_as_it_is(layer, lengths, monkeypatch):
    layer = layer(5, 6, num_layers=2, bidirectional=True)

    def run(seed):
        mg.manual_seed(seed)
        for p in layer.parameters():
            p.grad = None
        x = mg.randn(3, 4, 5, requires_grad=True)
        y, states = layer(x, lengths=lengths)
        (y * mg.randn(*y.shape)).sum().backward()
        states = states if isinstance(states, tuple) else (states,)
        return [a.numpy() for a in (y, *states, x.grad, *[p.grad for p in layer.parameters()])]

    with monkeypatch.context() as patch:
        patch.setattr(_workspace.Workspace, "keep", lambda self: None)
        expected = run(1)
    found = run(1)
    run(2)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@LAYERS
def test_a_loop_that_fails_leaves_nothing_behind(layer, monkeypatch):
    layer = layer(5, 6)
    expected = layer(mg.ones((3, 2, 5)))[0].numpy().copy()

    def fail(*args):
        raise FloatingPointError

    monkeypatch.setattr(_workspace.Workspace, "keep", fail)
    with pytest.raises(FloatingPointError):
        layer(mg.zeros((3, 2, 5)))
    monkeypatch.undo()
    np.testing.assert_array_equal(layer(mg.ones((3, 2, 5)))[0].numpy(), expected)


@LAYERS
def test_other_weights_may_need_gradients_in_the_next_call(layer):
    layer, x = layer(5, 6), mg.randn(40, 8, 5)  # so many rows are summed in parts

    def gradient(needed):
        layer.zero_grad()
        layer.weight_ih_l0.requires_grad_(needed)
        layer(x)[0].sum().backward()
        return layer.weight_hh_l0.grad.numpy()

    np.testing.assert_array_equal(gradient(False), gradient(True))
