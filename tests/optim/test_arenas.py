"""Optimisers over arenas: whatever happens to a parameter, the numbers are those of one by one."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn, optim
from minigrad.optim import optimizer
from minigrad.optim.blocks import blocks
from tests.optim.rules import OWN, RULES, alone, assert_same, draw, fresh, give, values

SHAPES = [(3, 4), (5,), (), (0, 3), (7, 2)]


@pytest.mark.parametrize(("name", "options"), RULES + OWN, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_together_is_as_one_by_one(name, options, dtype):
    params = fresh(SHAPES, dtype)
    others, opts = alone(name, options, SHAPES, dtype)
    opt = getattr(optim, name)(params, **options)
    assert len(opt.arenas) == 1
    for step in range(5):  # at different counts, with gaps
        skip = [(), (1,), (0, 4), (2,), ()][step]
        for ps in (params, others):
            give(ps, step, skip=skip)
        opt.step()
        for each in opts:
            each.step()
        for a, b in zip(values(params), values(others), strict=True):
            np.testing.assert_array_equal(a, b)
    assert {s["step"] for s in opt.state_dict()["state"].values()} == {4, 5}


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "Rprop"])
def test_what_lies_between_parameters_does_no_harm(name):
    params = fresh([(3,), (5,), (2, 2)], "float32")
    opt = getattr(optim, name)(params, lr=0.1)
    arena = opt.arenas[0]
    for step in range(4):
        give(params, step)
        opt.step()
    between = np.ones(arena.size, bool)
    for start, p in zip(arena.starts, params, strict=True):
        between[start : start + p.size] = False
    assert between.any()
    np.testing.assert_array_equal(arena.data[between], 0)
    np.testing.assert_array_equal(arena.gather()[between], 0)


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adagrad", "Adamax", "Adadelta"])
def test_no_epsilon_no_warning(name):
    params = fresh([(3,), (5,)], "float32")
    opt = getattr(optim, name)(params, eps=0.0)
    for step in range(2):
        for p in params:
            p.grad = mg.Tensor(np.ones(p.shape, "float32") + step)
        opt.step() if name != "Adadelta" else None
    assert all(np.isfinite(p.numpy()).all() for p in params)


def test_arenas_per_group_device_and_dtype():
    cpu, wide, other = fresh(dtype="float32"), fresh(), fresh(dtype="float32")
    strict = [mg.tensor(p.numpy(), device="strict", requires_grad=True) for p in other]
    opt = optim.Adam([{"params": [*cpu, *wide, *strict]}, {"params": other, "lr": 0.5}])
    assert len(opt.arenas) == 4
    expected = [optim.Adam(ps) for ps in (fresh(dtype="float32"), fresh())]
    for step in range(3):
        for ps in (cpu, wide, other, *(e.param_groups[0]["params"] for e in expected)):
            give(ps, step)
        for p, q in zip(strict, other, strict=True):
            p.grad = mg.tensor(q.grad.numpy(), device="strict")
        opt.step()
        for each in expected:
            each.step()
    assert_same(values(cpu), values(expected[0].param_groups[0]["params"]), rtol=0)
    assert_same(values(wide), values(expected[1].param_groups[0]["params"]), rtol=0)
    assert_same([p.numpy() for p in strict], values(cpu), rtol=1e-6)
    assert abs(other[0].numpy() - cpu[0].numpy()).min() > 0.1


def test_rows_and_dense_gradients_take_turns():
    sparse, dense = fresh([(4, 2)])[0], fresh([(4, 2)])[0]
    a, b = optim.SGD([sparse], lr=0.1, momentum=0.9), optim.SGD([dense], lr=0.1, momentum=0.9)
    for step in range(5):
        rows = mg.RowSparse(np.arange(4), draw([step], (4, 2)), (4, 2))
        sparse.grad = rows if step in (0, 2, 3) else mg.Tensor(rows.to_dense())
        dense.grad = mg.Tensor(rows.to_dense())
        a.step()
        b.step()
        assert_same([sparse.numpy()], [dense.numpy()])


def test_more_parameters_after_some_steps():
    params = fresh()
    opt = optim.Adam(params[:2], lr=0.1)
    give(params, 0)
    opt.step()
    kept = opt.arenas[0]
    opt.add_param_group({"params": params[2:], "lr": 0.2})
    give(params, 1)
    opt.step()
    assert opt.arenas[0] is kept
    assert [opt.state[p]["step"] for p in params] == [2, 2, 1]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "Lion"])
def test_narrow_parameters(name, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    params, wide = fresh(dtype=dtype), fresh(dtype="float32")
    for p, q in zip(params, wide, strict=True):
        q.assign_(p.numpy().astype("float32"))
    opts = [getattr(optim, name)(ps, lr=0.01) for ps in (params, wide)]
    for step in range(3):
        for ps, opt in zip((params, wide), opts, strict=True):
            give(ps, step)
            opt.step()
    assert {p.dtype.name for p in params} == {dtype}
    for p, q in zip(params, wide, strict=True):
        np.testing.assert_allclose(p.numpy().astype("float32"), q.numpy(), atol=0.05)


def test_gradients_are_scaled_as_they_are_read():
    for maximize in (False, True):
        params, others = fresh(), fresh()
        a = optim.SGD(params, lr=0.1, momentum=0.9, maximize=maximize)
        b = optim.SGD(others, lr=0.1, momentum=0.9, maximize=maximize)
        a.grad_scale = 0.25
        for step in range(3):
            give(params, step)
            for p, q in zip(params, others, strict=True):
                q.grad = p.grad * 0.25
            a.step()
            b.step()
        assert_same(values(params), values(others), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_threads_change_nothing(name, monkeypatch):
    shapes = [(40, 3), (2,), (7, 7), (100,), (300,), (1,)]
    params, others = fresh(shapes), fresh(shapes)
    a, b = getattr(optim, name)(params, lr=0.1), getattr(optim, name)(others, lr=0.1)
    before = mg.get_num_threads()
    for step in range(3):
        for ps, opt, share, n in ((params, a, 64, 3), (others, b, 1 << 19, 1)):
            mg.set_num_threads(n)
            monkeypatch.setattr(optimizer, "SHARE", share)
            monkeypatch.setattr(optimizer, "BLOCK", 32 if ps is params else 1 << 16)
            give(ps, step)
            opt.step()
    mg.set_num_threads(before)
    assert_same(values(params), values(others), rtol=0, atol=0)


def test_the_all_reduce_of_two_machines():
    """Each has half of the batch; the flat gradients are added, and read as they lie."""
    shapes = [(3, 4), (5,), ()]
    ours, theirs, both = fresh(shapes), fresh(shapes), fresh(shapes)
    opts = [optim.Adam(ps, lr=0.1) for ps in (ours, theirs, both)]
    for step in range(3):
        give(ours, 2 * step)
        give(theirs, 2 * step + 1)
        for p, q, r in zip(ours, theirs, both, strict=True):
            r.grad = p.grad + q.grad
        theirs[1].grad = None
        both[1].grad = ours[1].grad
        flats = [opt.arenas[0].gather(missing=True) for opt in opts[:2]]
        total = flats[0] + flats[1]
        for flat in flats:
            flat[...] = total
        for opt in opts:
            opt.step()
            opt.zero_grad()
    assert_same(values(ours), values(both), rtol=0, atol=0)
    assert_same(values(theirs), values(both), rtol=0, atol=0)


def test_an_optimiser_is_freed_without_the_garbage_collector():
    model = nn.Linear(3, 2)
    gc.collect()
    gc.disable()
    try:
        opt = optim.Adam(model.parameters())
        (model(mg.ones((4, 3))) ** 2).sum().backward()
        opt.step()
        refs = [weakref.ref(x) for x in (opt, opt.arenas[0], opt.state[model.weight]["exp_avg"])]
        del opt
        assert [ref() for ref in refs] == [None] * 3
    finally:
        gc.enable()


def test_a_step_allocates_no_arrays():
    params = fresh([(300, 300), (300,), (5, 5)], "float32")
    opt = optim.Adam(params)
    give(params, 0)
    for _ in range(3):
        opt.step()
    tracemalloc.start()
    try:
        opt.step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16_000  # views and lists, not 360,000 bytes of a matrix


def test_averages_follow_the_parameters():
    params = fresh(dtype="float32")
    ema = optim.EMA(params, 0.5)  # made first: it moves nothing
    opt = optim.SGD(params, lr=0.1)
    mean = None
    for step in range(4):
        give(params, step)
        opt.step()
        if step == 2:
            params[1].data = params[1].data.copy()
        ema.update()
        now = values(params)
        mean = now if mean is None else [0.5 * m + 0.5 * p for m, p in zip(mean, now, strict=True)]
        assert_same(ema.averages, mean, rtol=1e-6)


@pytest.mark.parametrize("limit", [0.1, 1e9])
def test_clipped_gradients_lie_in_the_arena(limit):
    params, others = fresh(), fresh()
    opt, loose = optim.SGD(params, lr=0.1), optim.SGD([{"params": [p]} for p in others], lr=0.1)
    for step in range(3):
        for ps, o in ((params, opt), (others, loose)):
            give(ps, step, skip=(1,))
            optim.clip_grad_value_(ps, 1.0)
            norm = optim.clip_grad_norm_(ps, limit)
            o.step()
            assert ps[0].grad.data is o.arenas[0].places[0]
        assert norm == pytest.approx(optim.clip_grad_norm_(params, np.inf) if limit > 1 else norm)
    assert_same(values(params), values(others))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_leaves_nothing_behind(bad):
    params = fresh([(3,), (5,), (2, 2)], "float32")
    opt = optim.SGD(params, lr=0.1)
    give(params, 0)
    params[0].grad.data[1] = bad
    with np.errstate(invalid="ignore"):
        optim.clip_grad_norm_(params, 1.0)
    give(params, 1)
    norm = optim.clip_grad_norm_(params, 0.1)
    assert np.isfinite(norm)
    assert np.isfinite(opt.arenas[0].grad).all()


def test_an_infinite_norm_can_be_an_error():
    params = fresh()
    give(params, 0)
    params[0].grad.data[0, 0] = np.inf
    before = [p.grad for p in params]
    with pytest.raises(errors.GradError, match="inf"):
        optim.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert all(p.grad is g for p, g in zip(params, before, strict=True))


@pytest.mark.parametrize("size", [4, 16, 64, 1 << 16])
def test_blocks_hold_each_number_once(size):
    params = fresh([(3, 4), (5,), (), (0, 3), (100,), (2,), (2,), (9, 9)], "float32")
    (arena,) = optim.SGD(params).arenas
    for chosen in ([0, 1, 2, 3, 4, 5, 6, 7], [0, 2, 3, 7], [4], []):
        seen = np.zeros(arena.size, int)
        for block in blocks(arena, chosen, size):
            assert block.stop - block.start <= size
            assert block.copies or block.source in chosen
            seen[block.start : block.stop] += 1
        assert seen.max(initial=0) <= 1
        for i, p in enumerate(params):
            part = seen[arena.starts[i] : arena.starts[i] + p.size]
            assert (part == (i in chosen)).all()
