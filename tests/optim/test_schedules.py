"""Learning-rate schedules, step by step against PyTorch's."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

import minigrad as mg
from minigrad import errors, optim

RATES = [0.5, 0.03]


def sgd(lib_sgd=optim.SGD, tensor=lambda: mg.tensor([1.0], requires_grad=True)):
    return lib_sgd([{"params": [tensor()], "lr": lr} for lr in RATES], lr=1.0, momentum=0.9)


def theirs(torch):
    return sgd(torch.optim.SGD, lambda: torch.ones(1, requires_grad=True))


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def falling(step):
    return 1 / (1 + step)


def label(value):
    """The same in each process: a function's repr is not."""
    return str(value).replace(repr(falling), "falling")


CASES = {
    "StepLR": [{"step_size": 3}, {"step_size": 1, "gamma": 0.7}],
    "ExponentialLR": [{"gamma": 0.9}],
    "CosineAnnealingLR": [{"T_max": 7}, {"T_max": 4, "eta_min": 0.01}],
    "LinearLR": [{}, {"start_factor": 0.1, "end_factor": 0.8, "total_iters": 6}],
    "ConstantLR": [{}, {"factor": 0.7, "total_iters": 3}],
    "MultiStepLR": [{"milestones": [2, 5, 5, 9]}, {"milestones": [4], "gamma": 0.5}],
    "PolynomialLR": [{}, {"total_iters": 8, "power": 2.5}],
    "CosineAnnealingWarmRestarts": [
        {"T_0": 4},
        {"T_0": 2, "T_mult": 2, "eta_min": 0.01},
        {"T_0": 1, "T_mult": 3},
    ],
    "OneCycleLR": [
        {"max_lr": 0.5, "total_steps": 21},
        {"max_lr": [0.5, 0.1], "epochs": 3, "steps_per_epoch": 8, "anneal_strategy": "linear"},
        {"max_lr": 1.0, "total_steps": 25, "three_phase": True, "div_factor": 5.0},
        {"max_lr": 1.0, "total_steps": 25, "cycle_momentum": False, "final_div_factor": 10.0},
    ],
    "CyclicLR": [
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 4},
        {"base_lr": [0.01, 0.1], "max_lr": [0.3, 0.2], "step_size_up": 3, "step_size_down": 2},
        {"base_lr": 0.1, "max_lr": 0.3, "step_size_up": 2, "mode": "triangular2"},
        {"base_lr": 0.1, "max_lr": 0.3, "step_size_up": 3, "mode": "exp_range", "gamma": 0.9},
        {"base_lr": 0.1, "max_lr": 0.3, "step_size_up": 3, "scale_fn": falling},
        {"base_lr": 0.1, "max_lr": 0.3, "step_size_up": 3, "cycle_momentum": False},
    ],
    "MultiplicativeLR": [{"f": falling}],
    "LambdaLR": [{"f": falling}],
}
PAIRS = [(name, options) for name, all_options in CASES.items() for options in all_options]


@pytest.mark.parametrize(("name", "options"), PAIRS, ids=label)
def test_every_step_is_pytorchs(name, options):
    torch = pytest.importorskip("torch")
    mine, other = sgd(), theirs(torch)
    schedule = getattr(optim, name)(mine, **options)
    given = {"lr_lambda": options["f"]} if "f" in options else options
    reference = getattr(torch.optim.lr_scheduler, name)(other, **given)
    for _ in range(options.get("T_max", 20) + 1):
        assert rates(mine) == pytest.approx(rates(other), rel=1e-12, abs=1e-15)
        assert schedule.lrs == rates(mine)
        for a, b in zip(mine.param_groups, other.param_groups, strict=True):
            assert a["momentum"] == pytest.approx(b["momentum"], rel=1e-12)
        schedule.step()
        other.step()
        reference.step()


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 0, "factor": 0.5, "min_lr": 0.01},
        {"mode": "max", "patience": 1, "threshold": 0.05, "cooldown": 2},
    ],
    ids=str,
)
def test_plateau_is_pytorchs(options):
    torch = pytest.importorskip("torch")
    mine, other = sgd(), theirs(torch)
    schedule = optim.ReduceLROnPlateau(mine, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(other, **options)
    metrics = [5.0, 4.0, 4.0, 4.1, 3.9999, 4.2, 4.3, 3.0, math.nan, 3.1, 3.2, math.inf, 3.3, 9.0]
    for metric in metrics * 2:
        schedule.step(metric)
        reference.step(metric)
        assert rates(mine) == pytest.approx(rates(other), rel=1e-12)


def test_warmup_then_cosine():
    opt = optim.SGD([mg.tensor([1.0], requires_grad=True)], lr=2.0)
    schedule = optim.WarmupCosine(opt, warmup=4, total=14, final=0.1)
    seen = []
    for _ in range(20):
        seen += schedule.lrs
        schedule.step()
    assert seen[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert seen[9] == pytest.approx(2.0 * (0.1 + 0.9 / 2))  # half way down
    assert seen[14:] == pytest.approx([0.2] * 6)
    assert all(a > b for a, b in pairwise(seen[4:15]))


ALL = {
    **{f"{name} {label(options)}": (name, options) for name, options in PAIRS},
    "WarmupCosine": ("WarmupCosine", {"warmup": 3, "total": 9, "final": 0.2}),
}


@pytest.mark.parametrize("key", ALL)
def test_a_saved_schedule_continues_exactly(key):
    name, options = ALL[key]
    straight = sgd()
    a = getattr(optim, name)(straight, **options)
    seen = []
    for _ in range(10):
        a.step()
        seen.append(a.lrs)
    stopped = sgd()
    b = getattr(optim, name)(stopped, **options)
    for _ in range(4):
        b.step()
    saved, optimizer_state = b.state_dict(), stopped.state_dict()
    resumed = sgd()
    c = getattr(optim, name)(resumed, **options)
    resumed.load_state_dict(optimizer_state)
    c.load_state_dict(saved)
    again = []
    for _ in range(6):
        c.step()
        again.append(c.lrs)
    assert again == seen[4:]


def test_a_saved_plateau_continues_exactly():
    metrics = [3.0, 3.1, 3.2, 2.0, 2.5, 2.6, 2.7, 2.8, 1.0, 1.5, 1.6, 1.7]
    for stop in range(len(metrics)):
        a, b = sgd(), sgd()
        first = optim.ReduceLROnPlateau(a, patience=1, cooldown=1, factor=0.5)
        second = optim.ReduceLROnPlateau(b, patience=1, cooldown=1, factor=0.5)
        for metric in metrics[:stop]:
            first.step(metric)
        second.load_state_dict(first.state_dict())
        for metric in metrics[stop:]:
            first.step(metric)
            second.step(metric)
        assert rates(a) == rates(b)


BAD = {
    "nothing": {},
    "another number of groups": {"last_step": 3, "base_lrs": [0.1]},
    "no number": {"last_step": "x", "base_lrs": RATES},
    "no rates": {"last_step": 3, "base_lrs": None},
    "a plateau without counts": {"best": 1.0, "bad_steps": None, "cooldown_left": 0, "lrs": RATES},
}


@pytest.mark.parametrize("what", BAD)
def test_a_state_that_does_not_fit_changes_nothing(what):
    opt = sgd()
    step, plateau = optim.StepLR(opt, 2), optim.ReduceLROnPlateau(opt)
    step.step()
    plateau.step(1.0)
    for schedule in (step, plateau):
        before, before_rates = schedule.state_dict(), rates(opt)
        with pytest.raises(errors.CheckpointError, match=f"{type(schedule).__name__}"):
            schedule.load_state_dict(BAD[what])
        assert schedule.state_dict() == before
        assert rates(opt) == before_rates


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StepLR", {"step_size": 0}),
        ("CosineAnnealingLR", {"T_max": 0}),
        ("LinearLR", {"total_iters": 0}),
        ("ConstantLR", {"factor": 1.5}),
        ("PolynomialLR", {"total_iters": 0}),
        ("CosineAnnealingWarmRestarts", {"T_0": 0}),
        ("CosineAnnealingWarmRestarts", {"T_0": 1, "T_mult": 0}),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 0}),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "mode": "square"}),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "scale_mode": "epochs"}),
        ("OneCycleLR", {"max_lr": 1.0}),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 0}),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "pct_start": 1.5}),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "anneal_strategy": "step"}),
        ("WarmupCosine", {"warmup": 5, "total": 5}),
        ("WarmupCosine", {"warmup": -1, "total": 5}),
        ("ReduceLROnPlateau", {"mode": "least"}),
        ("ReduceLROnPlateau", {"factor": 1.0}),
    ],
)
def test_options_without_a_meaning(name, options):
    opt = sgd()
    with pytest.raises(errors.ConfigError, match=name):
        getattr(optim, name)(opt, **options)
    assert rates(opt) == RATES


def test_one_value_per_group():
    opt = sgd()
    for make in (
        lambda: optim.OneCycleLR(opt, [1.0], total_steps=9),
        lambda: optim.CyclicLR(opt, 0.1, [1.0]),
    ):
        with pytest.raises(errors.ConfigError, match="1 values of max_lr for 2 groups"):
            make()
    assert rates(opt) == RATES


def test_a_schedule_of_your_own():
    class Halves(optim.Schedule):
        def factor(self, step):
            return 0.5**step

    opt = sgd()
    schedule = Halves(opt)
    schedule.step()
    assert schedule.lrs == [lr / 2 for lr in RATES]
    with pytest.raises(NotImplementedError):
        optim.Schedule(opt)
