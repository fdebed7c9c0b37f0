"""Parameters whose memory changes after the optimiser was made: moved, cast, shared, copied."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn, optim
from tests.optim.rules import alone, assert_same, draw, fresh, give, values


def moved(how, params):
    """Something that happens to parameters in the middle of training."""
    if how == "assign_":
        for p in params:
            p.assign_(p.numpy() * 1.5)
    elif how == "data":
        params[1].data = params[1].data * 1.5
    elif how == "all data":
        for p in params:
            p.data = np.copy(p.data * 1.5, order="F")
    elif how == "setitem":
        with mg.no_grad():
            params[0][1] = params[0].numpy()[1] * 1.5
    elif how == "detached":
        params[0].detach()
    elif how == "another optimiser":
        optim.SGD(params, lr=0.0)
    elif how == "a part in another optimiser":
        optim.SGD(params[1:3], lr=0.0).step()


HOW = ["assign_", "data", "all data", "setitem", "detached", "another optimiser"]


@pytest.mark.parametrize("how", [*HOW, "a part in another optimiser"])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_what_happens_to_parameters_afterwards(how, name):
    options = {"lr": 0.1, "momentum": 0.9} if name == "SGD" else {"lr": 0.1}
    params = fresh()
    others, opts = alone(name, options, [(3, 4), (5,), ()])
    opt = getattr(optim, name)(params, **options)
    for step in range(4):
        for ps in (params, others):
            give(ps, step)
            if step == 2:
                moved(how, ps)
        opt.step()
        for each in opts:
            each.step()
        assert_same(values(params), values(others), rtol=0, atol=0)
    assert len(opt.arenas) == 1


def test_a_model_in_another_dtype_takes_its_state_along():
    model = nn.Linear(3, 2)
    opt = optim.Adam(model.parameters(), lr=0.1)
    old = weakref.ref(opt.arenas[0].data)
    (model(mg.ones((4, 3))) ** 2).sum().backward()
    opt.step()
    gc.disable()
    try:
        model.to("float64")
        assert old() is None  # at once
    finally:
        gc.enable()
    (model(mg.ones((4, 3), dtype="float64")) ** 2).sum().backward()
    opt.step()
    assert opt.arenas[0].dtype == "float64"
    assert {v["exp_avg"].dtype.name for v in opt.state.values()} == {"float64"}
    assert {v["step"] for v in opt.state.values()} == {2}
    assert (opt.state[model.weight]["exp_avg"] != 0).all()


def test_a_model_on_another_device_takes_its_state_along():
    results = []
    for where in ("cpu", "strict"):
        mg.manual_seed(0)
        model = nn.Linear(3, 2)
        opt = optim.Adam(model.parameters(), lr=0.1)
        for step in range(4):
            if step == 2:
                model.to(where)
            for p in model.parameters():
                p.grad = mg.tensor(draw([step], p.shape).astype("float32"), device=p.device)
            opt.step()
        results.append([p.numpy() for p in model.parameters()])
        assert str(opt.arenas[0].device) == where
    assert_same(*results, rtol=1e-6)


def test_parts_of_a_model_on_two_devices():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    opt = optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    for step in range(3):
        if step == 1:
            model[1].to("strict")
        for p in model.parameters():
            p.grad = mg.ones(p.shape, device=p.device)
        opt.step()
    assert sorted(str(a.device) for a in opt.arenas) == ["cpu", "strict"]
    for p, state in opt.state.items():
        np.testing.assert_allclose(p.device.to_host(state["momentum_buffer"]), 2.71, rtol=1e-6)


def test_two_optimisers_leave_shared_parameters_in_place():
    params = fresh([(4,)] * 5)
    a = optim.SGD(params[:4], lr=0.1, momentum=0.9)
    b = optim.Adam(params[1:], lr=0.1)
    c = optim.SGD(params[:4], lr=0.1)
    assert c.arenas[0] is a.arenas[0]
    data = [p.data for p in params]
    others = fresh([(4,)] * 5)
    twins = [optim.SGD([p], lr=0.1, momentum=0.9) for p in others[:4]]
    twins += [optim.Adam([p], lr=0.1) for p in others[1:]]
    twins += [optim.SGD([p], lr=0.1) for p in others[:4]]
    for step in range(3):
        for ps, opts in ((params, (a, b, c)), (others, twins)):
            give(ps, step)
            for each in opts:
                each.step()
    assert all(p.data is d for p, d in zip(params, data, strict=True))
    assert_same(values(params), values(others), rtol=0, atol=0)


@pytest.mark.parametrize("groups", [False, True])
def test_tied_weights(groups):
    w = fresh([(3, 3)])[0]
    tied = mg.Tensor(w, requires_grad=True)  # another tensor, the same memory
    if groups:
        opt = optim.SGD([{"params": w}, {"params": tied}], lr=1.0)
    else:
        opt = optim.SGD([w, tied], lr=1.0)
    before = w.numpy().copy()
    w.grad, tied.grad = mg.ones((3, 3), dtype="float64"), mg.ones((3, 3), dtype="float64")
    opt.step()
    assert tied.data is w.data
    np.testing.assert_allclose(w.numpy(), before - 2)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight  # the same tensor
    assert len(optim.SGD(model.parameters()).param_groups[0]["params"]) == 3


def test_a_matrix_and_its_transpose_are_updated_in_place():
    base = draw(0, (3, 4))
    w, turned = mg.asarray(base).requires_grad_(), mg.asarray(base.T).requires_grad_()
    before = base.copy()
    opt = optim.Adam([w, turned], lr=0.1)
    w.grad = turned.grad = None
    turned.grad = mg.tensor(draw(1, (4, 3)))
    opt.step()
    twin = mg.tensor(before.T, requires_grad=True)
    twin.grad = turned.grad
    optim.Adam([twin], lr=0.1).step()
    np.testing.assert_array_equal(w.numpy().T, twin.numpy())
    turned.grad = mg.RowSparse(np.array([1, 1]), np.ones((2, 3)), (4, 3))
    opt.step()
    assert opt.state[turned]["step"] == 2
    assert w not in opt.state


def test_a_parameter_that_became_another():
    params = fresh()
    opt = optim.Adam(params)
    give(params, 0)
    opt.step()
    params[0].data = np.zeros((2, 2))
    params[0].grad = mg.zeros((2, 2), dtype="float64")
    with pytest.raises(errors.ConfigError, match=r"\(2, 2\).*\(3, 4\).*new optimiser"):
        opt.step()


def test_copies_of_a_model_and_its_optimiser_train_apart():
    model = nn.Linear(3, 2)
    opt, ema = optim.Adam(model.parameters(), lr=0.1), optim.EMA(model, 0.5)

    def train(model, opt, ema):
        for _ in range(2):
            opt.zero_grad()
            (model(mg.ones((4, 3))) ** 2).sum().backward()
            opt.step()
            ema.update()
        return [*(p.numpy().copy() for p in model.parameters()), *(a.copy() for a in ema.averages)]

    train(model, opt, ema)
    other = copy.deepcopy((model, opt, ema))
    first = train(model, opt, ema)
    assert_same(train(*other), first, rtol=0, atol=0)
    assert not np.shares_memory(other[0].weight.data, model.weight.data)
