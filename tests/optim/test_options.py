"""Options, parameters and gradients that optimisers refuse, and options changed in training."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, optim
from tests.optim.rules import assert_same, fresh, give, values


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -1.0}, "lr is -1.0"),
        ("SGD", {"lr": float("nan")}, "lr is nan"),
        ("SGD", {"lr": "0.1"}, "lr is '0.1'"),
        ("SGD", {"lr": None}, "lr is None"),
        ("SGD", {"momentum": -0.1}, "momentum"),
        ("SGD", {"weight_decay": -0.1}, "weight_decay"),
        ("SGD", {"nesterov": True}, "Nesterov"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov"),
        ("Adam", {"eps": -1.0}, "eps"),
        ("Adam", {"betas": (1.0, 0.9)}, "betas"),
        ("Adam", {"betas": (0.9, -0.1)}, "betas"),
        ("AdamW", {"betas": (0.9,)}, "betas"),
        ("AdamW", {"weight_decay": -1.0}, "weight_decay"),
        ("RMSprop", {"alpha": -0.1}, "alpha"),
        ("RMSprop", {"momentum": -0.1}, "momentum"),
        ("Adagrad", {"lr_decay": -0.1}, "lr_decay"),
        ("Adagrad", {"initial_accumulator_value": -0.1}, "initial_accumulator_value"),
        ("NAdam", {"momentum_decay": -0.1}, "momentum_decay"),
        ("RAdam", {"betas": (0.9, 1.0)}, "betas"),
        ("Adamax", {"eps": -0.1}, "eps"),
        ("Adadelta", {"rho": 1.1}, "rho"),
        ("Rprop", {"etas": (1.1, 1.2)}, "etas"),
        ("Rprop", {"step_sizes": (2, 1)}, "step_sizes"),
        ("ASGD", {"lambd": -0.1}, "lambd"),
        ("Lion", {"lr": -0.1}, "lr"),
    ],
)
def test_options_without_a_meaning(name, options, message):
    with pytest.raises(errors.ConfigError, match=f"{name}.*{message}"):
        getattr(optim, name)(fresh(), **options)


def test_a_bad_option_of_a_group():
    params = fresh()
    opt = optim.SGD(params[:1], momentum=0.0)
    for group in (
        {"params": params[1:], "lr": -1.0},
        {"params": params[1:], "nesterov": True},
        {"params": params[1:], "rate": 1.0},
        {"lr": 0.1},
    ):
        with pytest.raises(errors.ConfigError, match="SGD"):
            opt.add_param_group(group)
    assert len(opt.param_groups) == 1
    opt.add_param_group({"params": params[1:], "momentum": 0.9, "nesterov": True})
    assert len(opt.param_groups) == 2


@pytest.mark.parametrize("bad", [[], [1.0], ["w"], [np.zeros(2)], [None]])
def test_what_are_no_parameters(bad):
    with pytest.raises(errors.ConfigError):
        optim.SGD(bad)


def test_parameters_are_leaves_given_once_in_order():
    w = fresh()[0]
    with pytest.raises(errors.ConfigError, match="leaf"):
        optim.SGD([w * 2])
    with pytest.raises(errors.ConfigError, match="leaf"):
        optim.SGD([mg.tensor([1, 2])])
    with pytest.raises(errors.ConfigError, match="twice"):
        optim.SGD([w, w])
    with pytest.raises(errors.ConfigError, match="twice"):
        optim.SGD([{"params": [w]}, {"params": [w]}])
    with pytest.raises(errors.ConfigError, match="order"):
        optim.SGD({w})
    with pytest.raises(errors.ConfigError, match=r"model\.parameters\(\), got Linear"):
        optim.SGD(mg.nn.Linear(2, 2))
    assert optim.SGD(w).param_groups[0]["params"] == [w]
    assert optim.SGD([{"params": w}]).param_groups[0]["params"] == [w]


def test_a_gradient_of_another_shape_updates_nothing():
    params = fresh()
    before = values(params)
    opt = optim.Adam(params)
    give(params, 0)
    for wrong in (mg.zeros(4), np.zeros(5), 1.0):
        params[1].grad = wrong
        if getattr(wrong, "shape", None) != (5,):
            with pytest.raises(errors.GradError, match=r"\(5,\)"):
                opt.step()
    assert_same(values(params), before, rtol=0, atol=0)
    assert not opt.state


def test_options_changed_in_training_make_the_state_they_need():
    params = fresh()
    opt = optim.SGD(params, lr=0.1)
    give(params, 0)
    opt.step()
    opt.param_groups[0]["momentum"] = 0.9
    before = values(params)
    for _ in range(2):
        opt.step()
    grads = [p.grad.numpy() for p in params]
    assert_same(
        values(params), [x - 0.1 * (1 + 1.9) * g for x, g in zip(before, grads, strict=True)]
    )
