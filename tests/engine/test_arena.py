"""Arenas: leaves in one piece of memory, and their gradients in another."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.arena import Arena
from minigrad.engine.homes import arenas, find, settle

SHAPES = [(3, 4), (5,), (), (0, 3), (17,)]


def leaves(shapes=SHAPES, dtype="float32", device=None):
    rng = np.random.default_rng(0)
    return [
        mg.tensor(rng.standard_normal(s), dtype=dtype, device=device, requires_grad=True)
        for s in shapes
    ]


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_leaves_are_aligned_views_of_one_array_and_keep_their_values(dtype):
    ps = leaves(dtype=dtype)
    before = [p.numpy().copy() for p in ps]
    (arena,) = arenas(ps)
    assert arena.data.ndim == 1
    assert arena.dtype == dtype
    for p, start, value in zip(ps, arena.starts, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
        assert p.data.shape == value.shape
        assert address(arena.data[start:]) % 64 == 0 or p.size == 0
        assert not p.size or np.shares_memory(p.data, arena.data)
    assert arena.data.sum(dtype="float64") == pytest.approx(
        sum(float(v.sum(dtype="float64")) for v in before), abs=1e-2
    )  # zeros in between


def test_one_arena_per_device_and_dtype_and_leaves_in_one_stay():
    ps = [*leaves(dtype="float32"), *leaves(dtype="float64"), *leaves(device="strict")]
    found = arenas(ps)
    assert [(str(a.device), a.dtype.name) for a in found] == [
        ("cpu", "float32"),
        ("cpu", "float64"),
        ("strict", "float32"),
    ]
    views = [p.data for p in ps]
    assert arenas(ps) == found
    assert all(p.data is v for p, v in zip(ps, views, strict=True))


def test_some_leaves_of_an_arena_are_runs_of_it():
    ps = leaves([(4,)] * 6)
    (whole,) = arenas(ps)
    parts = arenas([ps[4], ps[0], ps[1]])
    assert [part.params for part in parts] == [ps[:2], [ps[4]]]
    for part in parts:
        assert np.shares_memory(part.data, whole.data)
        part.data[...] = 7
    assert [float(p.data.sum()) == 28 for p in ps] == [True, True, False, False, True, False]


def test_without_move_leaves_stay_where_they_are():
    ps = leaves()
    before = [p.data for p in ps]
    assert len(arenas(ps, move=False)) == len(ps)
    assert all(p.data is d for p, d in zip(ps, before, strict=True))


def test_leaves_that_share_memory_stay_together():
    base = np.arange(12.0).reshape(3, 4)
    a, b = (mg.asarray(x).requires_grad_() for x in (base, base.T))
    c = leaves([(2,)], "float64")[0]
    found = arenas([a, b, c])
    assert len(found) == 3
    a.assign_(np.zeros((3, 4)))
    assert float(b.numpy().sum()) == 0
    assert not next(each for each in found if each.params[0] is b).flat


def test_an_arena_follows_leaves_that_moved_together_and_frees_its_memory():
    ps = leaves()
    (arena,) = arenas(ps)
    old = weakref.ref(arena.data)
    for p in ps:
        p.data = p.data.astype("float64")
    assert not arena.intact()
    settle(ps)
    assert arena.intact()
    assert arena.dtype == "float64"
    assert arena.generation == 2
    gc.disable()
    try:
        assert old() is None
    finally:
        gc.enable()
    ps[0].data = ps[0].data.astype("float32")
    settle(ps)  # they no longer fit into one array
    assert not arena.intact()
    assert find(ps[0]) == (None, 0)


def test_an_arena_is_freed_without_the_garbage_collector():
    gc.disable()
    try:
        ps = leaves()
        (arena,) = arenas(ps)
        _ = arena.grad
        ref = weakref.ref(arena)
        del arena
        assert ref() is None
        assert find(ps[0]) == (None, 0)
    finally:
        gc.enable()


# -- gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_gather_brings_gradients_side_by_side(device):
    ps = leaves(device=device)
    (arena,) = arenas(ps)
    given = [np.random.default_rng([1, i]).standard_normal(p.shape) for i, p in enumerate(ps)]
    for p, g in zip(ps, given, strict=True):
        p.grad = mg.tensor(g, dtype="float32", device=device)
    ps[1].grad = None
    flat = arena.gather()
    assert ps[1].grad is None
    flat *= 2
    for i, (p, g) in enumerate(zip(ps, given, strict=True)):
        if i != 1:
            np.testing.assert_array_equal(p.grad.numpy(), 2 * g.astype("float32"))
    host = arena.device.to_host(flat)
    assert host[arena.starts[1] : arena.starts[1] + 5].tolist() == [0] * 5
    assert arena.gather(missing=True) is flat
    assert ps[1].grad.numpy().tolist() == [0] * 5


def test_gathered_rows_are_dense():
    ps = leaves([(4, 2), (3,)])
    (arena,) = arenas(ps)
    ps[0].grad = mg.RowSparse(np.array([2, 0, 2]), np.ones((3, 2), "float32"), (4, 2))
    assert arena.gather()[:8].tolist() == [1, 1, 0, 0, 2, 2, 0, 0]
    assert ps[0].grad.numpy().tolist() == [[1, 1], [0, 0], [2, 2], [0, 0]]


HOLD = [lambda p: p.grad, lambda p: p.grad.data, lambda p: p.grad[1:].data]


@pytest.mark.parametrize("hold", HOLD)
def test_a_gradient_that_somebody_holds_is_not_overwritten(hold):
    ps = leaves([(4,), (3,)])
    (arena,) = arenas(ps)
    for p in ps:
        p.grad = mg.Tensor(np.ones(p.shape, "float32"))
    arena.gather()
    held = hold(ps[0])
    ps[0].grad = ps[1].grad = None
    ps[1].grad = mg.Tensor(np.full(3, 5, "float32"))
    arena.gather()
    assert float(np.asarray(held.data if isinstance(held, mg.Tensor) else held).min()) == 1


def test_gradients_that_nobody_holds_are_gathered_into_the_same_memory():
    ps = leaves()
    (arena,) = arenas(ps)
    seen = set()
    for step in range(4):
        for p in ps:
            p.grad = mg.Tensor(np.full(p.shape, step, "float32"))
        seen.add(address(arena.gather()))
        for p in ps:
            p.grad = None
    assert len(seen) == 1


def test_repr():
    assert repr(arenas(leaves())[0]) == "Arena(5 tensors, 80 float32 on cpu)"
    assert isinstance(arenas(leaves())[0], Arena)
