"""Schedules made of schedules, and the one cycle of the momentum, against PyTorch's."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad import errors, optim

RATES = [0.5, 0.03]


def sgd(lib=optim.SGD, tensor=lambda: mg.tensor([1.0], requires_grad=True)):
    return lib([{"params": [tensor()], "lr": lr} for lr in RATES], lr=1.0, momentum=0.9)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def warm_then_cosine(opt, lib):
    parts = [
        lib.LinearLR(opt, start_factor=0.1, total_iters=4),
        lib.ExponentialLR(opt, gamma=0.8),
        lib.CosineAnnealingLR(opt, T_max=20),
    ]
    return lib.SequentialLR(opt, parts, milestones=[4, 9])


def constant_then_steps(opt, lib):
    parts = [lib.ConstantLR(opt, factor=0.3, total_iters=3), lib.StepLR(opt, step_size=2)]
    return lib.SequentialLR(opt, parts, milestones=[3])


def chained(opt, lib):
    parts = [
        lib.ConstantLR(opt, factor=0.1, total_iters=4),
        lib.ExponentialLR(opt, gamma=0.9),
        lib.MultiStepLR(opt, milestones=[3, 8]),
    ]
    return lib.ChainedScheduler(parts, optimizer=opt)


MAKE = [warm_then_cosine, constant_then_steps, chained]


@pytest.mark.parametrize("make", MAKE)
def test_every_step_is_pytorchs(make):
    torch = pytest.importorskip("torch")
    mine = sgd()
    other = sgd(torch.optim.SGD, lambda: torch.ones(1, requires_grad=True))
    a, b = make(mine, optim), make(other, torch.optim.lr_scheduler)
    for _ in range(16):
        assert rates(mine) == pytest.approx(rates(other), rel=1e-12)
        assert a.lrs == rates(mine)
        a.step()
        other.step()
        b.step()


@pytest.mark.parametrize("stop", [0, 2, 5, 11])
@pytest.mark.parametrize("make", MAKE)
def test_a_saved_chain_continues_exactly(make, stop):
    straight, stopped, resumed = sgd(), sgd(), sgd()
    a, b = make(straight, optim), make(stopped, optim)
    for _ in range(stop):
        a.step()
        b.step()
    c = make(resumed, optim)
    resumed.load_state_dict(stopped.state_dict())
    c.load_state_dict(b.state_dict())
    for _ in range(8):
        a.step()
        c.step()
        assert rates(straight) == rates(resumed)


def test_a_chain_in_a_chain():
    opt = sgd()
    inner = optim.SequentialLR(
        opt, [optim.ConstantLR(opt, 0.5, 9), optim.ExponentialLR(opt, 0.5)], [2]
    )
    outer = optim.ChainedScheduler([inner, optim.ExponentialLR(opt, 0.1)])
    seen = []
    for _ in range(4):
        seen.append(opt.param_groups[0]["lr"])
        outer.step()
    assert seen == pytest.approx([0.25, 0.025, 0.005, 0.00025])


def test_a_state_that_does_not_fit_changes_nothing():
    opt = sgd()
    schedule = warm_then_cosine(opt, optim)
    schedule.step()
    before = rates(opt)
    good = schedule.state_dict()
    for bad in (
        {},
        {**good, "schedulers": good["schedulers"][:1]},
        {**good, "schedulers": [{}] * 3},
    ):
        with pytest.raises(errors.CheckpointError):
            schedule.load_state_dict(bad)
        assert rates(opt) == before
        assert schedule.state_dict() == good


def test_options_without_a_meaning():
    opt, other = sgd(), sgd()
    one, two = optim.ExponentialLR(opt, 0.9), optim.ExponentialLR(opt, 0.8)
    for milestones in (
        [],
        [1, 2],
    ):
        with pytest.raises(errors.ConfigError, match="milestones"):
            optim.SequentialLR(opt, [one, two], milestones)
    with pytest.raises(errors.ConfigError, match="no schedules"):
        optim.ChainedScheduler([])
    with pytest.raises(errors.ConfigError, match="this optimiser"):
        optim.ChainedScheduler([one, optim.ExponentialLR(other, 0.9)])


def test_one_cycle_of_beta1():
    torch = pytest.importorskip("torch")
    p, t = mg.tensor([1.0], requires_grad=True), torch.ones(1, requires_grad=True)
    a, b = optim.Adam([p]), torch.optim.Adam([t])
    mine = optim.OneCycleLR(a, 0.1, total_steps=12)
    other = torch.optim.lr_scheduler.OneCycleLR(b, 0.1, total_steps=12)
    for _ in range(11):
        mine.step()
        b.step()
        other.step()
        assert a.param_groups[0]["betas"] == pytest.approx(b.param_groups[0]["betas"], rel=1e-12)
    mine.step()
    with pytest.raises(errors.ConfigError, match="total_steps"):
        mine.step()


def test_one_cycle_needs_a_momentum_to_cycle():
    opt = optim.Adagrad([mg.tensor([1.0], requires_grad=True)])
    with pytest.raises(errors.ConfigError, match="cycle_momentum=False"):
        optim.OneCycleLR(opt, 0.1, total_steps=9)
    optim.OneCycleLR(opt, 0.1, total_steps=9, cycle_momentum=False)
