"""Steps in programs: compiled ones are the eager ones, bit for bit; a fake CUDA graph replays."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.optim import optimizer
from minigrad.testing import strict
from tests.optim.rules import OWN, RULES, draw


class Run:
    """A small model in training, eager or compiled."""

    def __init__(self, name, options, compiled, *, clip=None, sparse=False):
        mg.manual_seed(0)
        self.table = nn.Embedding(9, 4, sparse=sparse)
        self.model = nn.Sequential(self.table, nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
        self.optimizer = getattr(optim, name)(self.model.parameters(), **options)
        self.schedule = optim.CosineAnnealingLR(self.optimizer, 20)
        self.ema = optim.EMA(self.model, 0.9, warmup=True)
        self.clip = clip
        self.step = mg.compile(self._step) if compiled else self._step

    def _step(self, ids):
        self.optimizer.zero_grad()
        loss = (self.model(ids) ** 2).mean()
        loss.backward()
        norm = None
        if self.clip == "norm":
            norm = optim.clip_grad_norm_(self.model.parameters(), 0.02)
        elif self.clip == "value":
            optim.clip_grad_value_(self.model.parameters(), 0.01)
        self.optimizer.step()
        self.ema.update()
        return loss if norm is None else norm

    def steps(self, n, *, start=0):
        found = []
        for i in range(start, start + n):
            found.append(float(self.step(mg.tensor(np.random.default_rng(i).integers(0, 9, 6)))))
            self.schedule.step()
        return found

    def values(self):
        params = list(self.model.parameters())
        state = [a for s in self.optimizer.state.values() for a in s.values()]
        grads = [p.grad.numpy() for p in params if isinstance(p.grad, mg.Tensor)]
        return [*(p.numpy() for p in params), *self.ema.averages, *state, *grads]


def assert_equal(a, b):
    for x, y in zip(a.values(), b.values(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(("name", "options"), RULES + OWN, ids=str)
def test_a_compiled_step_is_the_eager_one(name, options):
    clip = ["norm", "value", None][len(str(options)) % 3]
    eager, compiled = (Run(name, options, c, clip=clip) for c in (False, True))
    assert eager.steps(8) == compiled.steps(8)
    assert_equal(eager, compiled)
    assert len(compiled.step.programs) == 1
    assert {s["step"] for s in compiled.optimizer.state.values()} == {8}


@pytest.mark.parametrize("clip", ["norm", "value"])
def test_compiled_clipping(clip):
    eager, compiled = (Run("Adam", {}, c, clip=clip) for c in (False, True))
    assert eager.steps(5) == compiled.steps(5)
    assert_equal(eager, compiled)


def test_eager_and_compiled_steps_take_turns_and_resume():
    eager, mixed, third = (Run("NAdam", {"lr": 0.01}, c) for c in (False, True, True))
    eager.steps(9)
    mixed.steps(3)
    for i in (3, 4):
        mixed._step(mg.tensor(np.random.default_rng(i).integers(0, 9, 6)))
        mixed.schedule.step()
    for mine, theirs in (
        (third.model, mixed.model),
        (third.optimizer, mixed.optimizer),
        (third.schedule, mixed.schedule),
        (third.ema, mixed.ema),
    ):
        mine.load_state_dict(theirs.state_dict())
    for run in (mixed, third):
        run.steps(4, start=5)
        assert_equal(eager, run)


def test_options_that_choose_what_is_computed_are_noticed():
    eager, compiled = (Run("SGD", {"lr": 0.1}, c) for c in (False, True))
    for i, change in enumerate(
        ({}, {"lr": 0.2}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"momentum": 0.5})
    ):
        for run in (eager, compiled):
            run.optimizer.param_groups[0].update(change)
            run.steps(2, start=2 * i)
    assert_equal(eager, compiled)
    eager.optimizer.grad_scale = compiled.optimizer.grad_scale = 0.5
    assert eager.steps(2) == compiled.steps(2)
    assert_equal(eager, compiled)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_model_that_moved_is_recorded_again(when):
    eager, compiled = (Run("Adam", {"lr": 0.1}, c) for c in (False, True))
    for run in (eager, compiled):
        if when == "after":
            run.steps(2)
        run.model.to("float64")
        run.steps(3)
    assert_equal(eager, compiled)
    assert compiled.optimizer.arenas[0].dtype == "float64"


def test_a_parameter_that_fell_behind_is_noticed():
    eager, compiled = (Run("Adam", {"lr": 0.1}, c) for c in (False, True))
    for run in (eager, compiled):
        run.steps(2)
        for p in run.model.parameters():
            p.grad = mg.ones(p.shape)
        run.model[1].bias.grad = None
        run.optimizer.step()
        run.steps(3)
    assert_equal(eager, compiled)
    assert compiled.optimizer.state[compiled.model[1].bias]["step"] == 5


def test_averages_alone():
    results = []
    for compiled in (False, True):
        mg.manual_seed(0)
        model = nn.Linear(3, 2)
        ema = optim.EMA(model, 0.5)
        update = mg.compile(ema.update) if compiled else ema.update
        for step in range(6):
            if step == 3:
                model.to("float64")
            for p in model.parameters():
                p.assign_(draw([step], p.shape))
            update()
        assert ema.num_updates == 6
        results.append(ema.averages)
    for a, b in zip(*results, strict=True):
        assert a.dtype == "float64"
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_two_threads_in_a_program(name, monkeypatch):
    monkeypatch.setattr(optimizer, "SHARE", 16)
    monkeypatch.setattr(optimizer, "BLOCK", 32)
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    try:
        eager, compiled = (Run(name, {"lr": 0.1}, c) for c in (False, True))
        assert eager.steps(4) == compiled.steps(4)
        assert_equal(eager, compiled)
    finally:
        mg.set_num_threads(before)


def test_gathered_gradients_in_a_program():
    results = []
    for compiled in (False, True):
        p, q = (mg.tensor(draw(i, (3, 2)), requires_grad=True) for i in range(2))
        opt = optim.Adam([p, q], lr=0.1)

        def step(x, p=p, q=q, opt=opt):
            opt.zero_grad()
            (p * x).sum().backward()
            for arena in opt.arenas:
                arena.gather(missing=True)
            opt.step()

        f = mg.compile(step) if compiled else step
        for i in range(3):
            f(mg.tensor(draw(i, (3, 2))))
        results.append([p.numpy(), q.numpy(), p.grad.numpy(), q.grad.numpy()])
        assert opt.state[q]["step"] == 3
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "options"), RULES + OWN, ids=str)
def test_a_fake_cuda_graph_replays_the_step(name, options, monkeypatch):
    """The numbers are written before a launch; nothing of the host is in the graph."""
    device = strict.device()
    runs = []
    for captured in (False, True):
        params = [
            mg.tensor(draw(i, s), dtype="float32", device=device, requires_grad=True)
            for i, s in enumerate([(5, 3), (4,), ()])
        ]
        opt = getattr(optim, name)(params, **options)
        for i, p in enumerate(params):
            p.grad = mg.tensor(draw([0, i], p.shape), dtype="float32", device=device)
        opt.param_groups[0]["lr"] = 0.01
        refresh = []
        if captured:
            opt.step()
            with monkeypatch.context() as patch, strict.capturing() as graph:
                patch.setattr(optimizer, "before_replay", refresh.append)
                opt.step()
        for step in range(3):
            for i, p in enumerate(params):
                p.grad.assign_(mg.tensor(draw([step, i], p.shape), dtype="float32", device=device))
            opt.param_groups[0]["lr"] = 0.01 / (1 + step)
            if captured and step:
                refresh[0]()
                graph.launch()
            elif not captured:
                opt.step()
        runs.append([p.numpy() for p in params])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)
