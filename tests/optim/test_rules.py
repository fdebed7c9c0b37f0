"""The update rules, step by step against PyTorch's, and what every optimiser must hold."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, optim
from minigrad.optim import optimizer

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.02}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.02}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "betas": (0.5, 0.7), "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.05, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.8, "momentum": 0.7, "weight_decay": 0.03}),
    ("RMSprop", {"lr": 0.05, "centered": True}),
    ("RMSprop", {"lr": 0.05, "centered": True, "momentum": 0.5, "eps": 1e-4}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.2, "lr_decay": 0.1, "weight_decay": 0.05}),
    ("Adagrad", {"lr": 0.2, "initial_accumulator_value": 0.5, "eps": 1e-6}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "eps": 1e-5}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1, "eps": 1e-4}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.05, "etas": (0.3, 1.7), "step_sizes": (0.04, 0.1)}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.6, "t0": 2, "weight_decay": 0.1}),
    *((name, {"lr": 0.05, "maximize": True}) for name in ("SGD", "Adam", "AdamW", "RMSprop")),
    *((name, {"lr": 0.05, "maximize": True}) for name in ("Adagrad", "NAdam", "RAdam", "Adamax")),
    *((name, {"lr": 0.05, "maximize": True}) for name in ("Adadelta", "Rprop", "ASGD")),
]
IDS = [f"{name}({', '.join(f'{k}={v}' for k, v in o.items())})" for name, o in RULES]
NAMES = list(dict.fromkeys(name for name, _ in RULES))
OWN = [("Lion", {}), ("Lion", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.3})]
SHAPES = [(3, 4), (5,), ()]


def draw(seed, shape):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def fresh(shapes=SHAPES, dtype="float64"):
    return [
        mg.tensor(draw(i, shape), dtype=dtype, requires_grad=True) for i, shape in enumerate(shapes)
    ]


def give(params, seed, *, skip=()):
    """The same random gradients each time, zeros among them."""
    for i, p in enumerate(params):
        g = draw([seed, i], p.shape) * (1 + seed)
        p.grad = None if i in skip else mg.tensor(np.where(g > 1.5, 0, g), dtype=p.dtype)


def values(params):
    return [p.numpy().copy() for p in params]


def assert_same(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-12, "atol": 1e-14}))


@pytest.fixture(autouse=True)
def _default_dtype():
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_default_dtype(sys.modules["torch"].float32)


class Theirs:
    """PyTorch's optimiser on the same parameters, fed the same gradients."""

    def __init__(self, name, params, options, torch):
        self.torch = torch
        self.params = [torch.tensor(p.numpy(), requires_grad=True) for p in params]
        torch.set_default_dtype(torch.float64)  # the dtype of PyTorch's own scalar states
        self.optimizer = getattr(torch.optim, name)(self.params, **options)

    def step(self, params):
        for mine, p in zip(self.params, params, strict=True):
            mine.grad = None if p.grad is None else self.torch.tensor(p.grad.numpy())
        self.optimizer.step()

    def values(self):
        return [p.detach().numpy() for p in self.params]


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


# -- rows ------------------------------------------------------------------------------------------


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


# -- bad input -------------------------------------------------------------------------------------


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


# -- loading ---------------------------------------------------------------------------------------


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
