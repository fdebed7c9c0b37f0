"""The update rules, step by step against PyTorch's, and what every optimiser must hold."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, optim
from minigrad.optim import optimizer
from tests.optim.rules import IDS, NAMES, OWN, RULES, Theirs, assert_same, draw, fresh, give, values


@pytest.mark.parametrize(("name", "options"), RULES, ids=IDS)
def test_every_step_is_pytorchs(name, options):
    torch = pytest.importorskip("torch")
    params = fresh()
    opt = getattr(optim, name)(params, **options)
    options = dict(options)
    if name == "SGD":
        options.setdefault("lr", 1e-3)
    theirs = Theirs(name, params, options, torch)
    for step in range(12):
        give(params, step, skip=(1,) if step in (0, 4) else ())  # one starts late and misses a step
        opt.step()
        theirs.step(params)
        assert_same(values(params), theirs.values())


@pytest.mark.parametrize(("name", "options"), RULES, ids=IDS)
def test_the_last_values_are_the_golden_ones(name, options, golden):
    params = fresh()
    opt = getattr(optim, name)(params, **options)
    for step in range(6):
        give(params, step)
        opt.step()
    found = np.concatenate([v.reshape(-1) for v in values(params)])
    assert_same([found], [golden[IDS[RULES.index((name, options))]]], rtol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_groups_have_their_own_options(name):
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)
    params = fresh()
    opt = getattr(optim, name)([{"params": params[:1], "lr": 0.5}, {"params": params[1:]}], lr=0.01)
    opt.param_groups[1]["weight_decay"] = 0.2
    copies = [torch.tensor(p.numpy(), requires_grad=True) for p in params]
    theirs = getattr(torch.optim, name)(
        [{"params": copies[:1], "lr": 0.5}, {"params": copies[1:]}], lr=0.01
    )
    theirs.param_groups[1]["weight_decay"] = 0.2
    if name == "AdamW":
        theirs.param_groups[0]["weight_decay"] = opt.param_groups[0]["weight_decay"]
    for step in range(5):
        if step == 3:
            for o in (opt, theirs):
                o.param_groups[0]["lr"] = 0.003
        give(params, step)
        opt.step()
        for mine, p in zip(copies, params, strict=True):
            mine.grad = torch.tensor(p.grad.numpy())
        theirs.step()
        assert_same(values(params), [p.detach().numpy() for p in copies])


@pytest.mark.parametrize(("name", "options"), RULES + OWN, ids=str)
def test_a_saved_state_continues_exactly(name, options):
    make = getattr(optim, name)
    straight, stopped = fresh(), fresh()
    a, b = make(straight, **options), make(stopped, **options)
    for step in range(6):
        if step == 3:  # a new process: other objects, other defaults, the saved state
            saved = b.state_dict()
            stopped = [mg.tensor(p.numpy(), requires_grad=True) for p in stopped]
            b = make(stopped, lr=123.0)
            b.load_state_dict(saved)
        for params, opt in ((straight, a), (stopped, b)):
            give(params, step, skip=(2,) if step < 4 else ())
            opt.step()
    for x, y in zip(values(straight), values(stopped), strict=True):
        np.testing.assert_array_equal(x, y)
    assert a.state_dict()["param_groups"] == b.state_dict()["param_groups"]


def test_a_state_dict_is_a_copy():
    params = fresh()
    opt = optim.Adam(params)
    give(params, 0)
    opt.step()
    saved = opt.state_dict()
    before = saved["state"]["0"]["exp_avg"].numpy().copy()
    opt.step()
    np.testing.assert_array_equal(saved["state"]["0"]["exp_avg"].numpy(), before)
    opt.load_state_dict(saved)
    opt.step()
    np.testing.assert_array_equal(saved["state"]["0"]["exp_avg"].numpy(), before)


@pytest.mark.parametrize(("name", "options"), RULES + OWN, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_change_nothing(name, options, dtype, monkeypatch):
    shapes = [(7, 5), (3,), (64,)]
    whole, blocked = fresh(shapes, dtype), fresh(shapes, dtype)
    a = getattr(optim, name)(whole, **options)
    b = getattr(optim, name)(blocked, **options)
    for step in range(4):
        for params, opt, block in ((whole, a, 1 << 16), (blocked, b, 8)):
            monkeypatch.setattr(optimizer, "BLOCK", block)
            give(params, step)
            opt.step()
    for x, y in zip(values(whole), values(blocked), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == dtype


@pytest.mark.parametrize("block", [1 << 16, 4])
def test_parameters_and_gradients_in_other_memory_layouts(block, monkeypatch):
    monkeypatch.setattr(optimizer, "BLOCK", block)
    base = draw(0, (4, 6))
    plain = mg.tensor(base, requires_grad=True)
    turned = mg.Tensor(np.asfortranarray(base), requires_grad=True)
    strided = mg.Tensor(np.repeat(base, 2, axis=1)[:, ::2], requires_grad=True)
    params = [plain, turned, strided]
    opt = optim.Adam(params, lr=0.1)
    for step in range(3):
        g = draw([step], (4, 6))
        plain.grad = mg.Tensor(g)
        turned.grad = mg.Tensor(np.asfortranarray(g))
        strided.grad = mg.Tensor(np.repeat(g, 3, axis=0)[::3])
        opt.step()
    np.testing.assert_array_equal(plain.numpy(), turned.numpy())
    np.testing.assert_array_equal(plain.numpy(), strided.numpy())
    w = mg.tensor(base, requires_grad=True)
    w.sum().backward()  # a broadcast view of a single one
    optim.SGD([w], lr=1.0).step()
    np.testing.assert_allclose(w.numpy(), base - 1)


@pytest.mark.parametrize(("name", "options"), RULES + OWN, ids=str)
def test_a_step_writes_into_the_parameter_and_not_into_its_gradient(name, options):
    params = fresh()
    opt = getattr(optim, name)(params, **options)
    for step in range(3):
        give(params, step)
        memory = [p.data for p in params]
        grads = [p.grad.numpy().copy() for p in params]
        opt.step()
        assert all(p.data is m for p, m in zip(params, memory, strict=True))
        assert_same([p.grad.numpy() for p in params], grads, rtol=0, atol=0)


@pytest.mark.parametrize("rate", [0.1, np.float64(0.1), np.float32(0.1), 1])
def test_rates_of_any_type_keep_float32(rate):
    for name in [*NAMES, "Lion"]:
        params = fresh(dtype="float32")
        opt = getattr(optim, name)(params, lr=rate)
        give(params, 0)
        opt.step()
        assert {p.dtype.name for p in params} == {"float32"}
        states = opt.state_dict()["state"].values()
        arrays = [t for state in states for t in state.values() if isinstance(t, mg.Tensor)]
        assert {t.dtype.name for t in arrays} <= {"float32"}


def test_a_step_is_noticed_by_graphs_that_need_the_old_values():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(errors.InPlaceError, match=r"test_rules.py"):
        loss.backward()


# -- rows -----------------------------------------------------------------------------------------


def rows(ids, seed, shape):
    ids = np.array(ids, dtype=np.int64)
    return mg.RowSparse(ids, draw([seed], (len(ids), *shape[1:])), shape)


@pytest.mark.parametrize("block", [1 << 16, 4])
def test_sgd_on_rows_is_sgd_on_the_dense_gradient(block, monkeypatch):
    monkeypatch.setattr(optimizer, "BLOCK", block)
    shape = (6, 3)
    sparse, dense = fresh([shape])[0], fresh([shape])[0]
    a, b = optim.SGD([sparse], lr=0.1), optim.SGD([dense], lr=0.1)
    for step, ids in enumerate([[0, 0, 3], [5], [], [2, 1, 2, 2]]):
        sparse.grad = rows(ids, step, shape)
        dense.grad = mg.Tensor(sparse.grad.to_dense())
        a.step()
        b.step()
        assert_same([sparse.numpy()], [dense.numpy()])


@pytest.mark.parametrize(("name", "options"), RULES + OWN, ids=str)
def test_rows_without_a_gradient_are_untouched_and_the_others_get_the_dense_update(name, options):
    shape = (6, 3)
    sparse, dense = fresh([shape])[0], fresh([shape])[0]
    start = sparse.numpy().copy()
    a, b = getattr(optim, name)([sparse], **options), getattr(optim, name)([dense], **options)
    for step in range(3):  # the same rows in each step: then rows are as good as a dense gradient
        sparse.grad = rows([4, 1, 1, 4, 4], step, shape)
        dense.grad = mg.Tensor(sparse.grad.to_dense())
        a.step()
        b.step()
    assert_same([sparse.numpy()[[1, 4]]], [dense.numpy()[[1, 4]]])
    np.testing.assert_array_equal(sparse.numpy()[[0, 2, 3, 5]], start[[0, 2, 3, 5]])


def test_scratch_does_not_grow_with_the_number_of_rows():
    shape = (100, 3)
    p = fresh([shape])[0]
    opt = optim.Adam([p])
    for n in range(1, 60):
        p.grad = rows(range(n), n, shape)
        opt.step()
    assert sum(a.size for room in opt._scratch.values() for a in room) <= 4 * p.size
