"""Saved states: those that fit, and those that do not."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, optim
from tests.optim.rules import fresh, give


def saved_state(name="Adam", **options):
    params = fresh()
    opt = getattr(optim, name)(params, **options)
    give(params, 0)
    opt.step()
    return opt.state_dict()


def broken(change, name="Adam"):
    state = saved_state(name)
    change(state)
    return state


BROKEN = {
    "no groups": lambda s: s.pop("param_groups"),
    "no state": lambda s: s.pop("state"),
    "another number of parameters": lambda s: s["param_groups"][0]["params"].pop(),
    "another number of groups": lambda s: s["param_groups"].append({"params": []}),
    "an unknown option": lambda s: s["param_groups"][0].update(rate=1.0),
    "a bad option": lambda s: s["param_groups"][0].update(lr=-1.0),
    "an option of another type": lambda s: s["param_groups"][0].update(betas=3),
    "an unknown parameter": lambda s: s["state"].update({"7": s["state"]["0"]}),
    "a negative parameter": lambda s: s["state"].update({"-1": s["state"]["0"]}),
    "no number": lambda s: s["state"].update({"x": s["state"]["0"]}),
    "a missing array": lambda s: s["state"]["2"].pop("exp_avg"),
    "a missing step": lambda s: s["state"]["2"].pop("step"),
    "an unknown array": lambda s: s["state"]["2"].update(foo=mg.zeros(())),
    "a number that is none": lambda s: s["state"]["2"].update(step="one"),
    "another shape": lambda s: s["state"]["2"].update(exp_avg=mg.zeros(3)),
    "another kind": lambda s: s["state"]["2"].update(exp_avg=np.array("a")),
    "nothing": lambda s: s.clear(),
    "a state that is a list": lambda s: s.update(state=[1, 2]),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_state_that_does_not_fit_changes_nothing(what):
    params = fresh()
    opt = optim.Adam(params, lr=0.25)
    give(params, 1)
    opt.step()
    before = opt.state_dict()
    with pytest.raises(errors.CheckpointError, match=r"Adam.load_state_dict: nothing is changed"):
        opt.load_state_dict(broken(BROKEN[what]))
    after = opt.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for key, state in before["state"].items():
        assert after["state"][key]["step"] == state["step"]
        np.testing.assert_array_equal(
            after["state"][key]["exp_avg"].numpy(), state["exp_avg"].numpy()
        )


def test_the_state_of_another_rule_does_not_fit():
    for mine, theirs in (("Adam", "SGD"), ("SGD", "Adam"), ("RMSprop", "Adagrad")):
        params = fresh()
        with pytest.raises(errors.CheckpointError, match="unknown options"):
            getattr(optim, mine)(params).load_state_dict(saved_state(theirs))
    amsgrad = saved_state("Adam", amsgrad=True)
    plain = optim.Adam(fresh())
    plain.load_state_dict(amsgrad)
    assert plain.param_groups[0]["amsgrad"] is True
    amsgrad["state"]["0"].pop("max_exp_avg_sq")
    with pytest.raises(errors.CheckpointError, match="max_exp_avg_sq"):
        plain.load_state_dict(amsgrad)


def test_state_is_loaded_in_the_dtype_of_the_parameter():
    state = saved_state("Adam")
    params = fresh(dtype="float32")
    opt = optim.Adam(params)
    opt.load_state_dict(state)
    give(params, 1)
    opt.step()
    assert opt.state[params[0]]["exp_avg"].dtype == "float32"


def test_repr_and_zero_grad():
    params = fresh()
    opt = optim.SGD(params, lr=0.5, momentum=0.9)
    give(params, 0)
    opt.zero_grad()
    assert all(p.grad is None for p in params)
    assert repr(opt).startswith("SGD(18 numbers, lr=0.5, momentum=0.9")
