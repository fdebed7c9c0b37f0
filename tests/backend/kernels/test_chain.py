"""Formulas that became kernels: each rule of `optim` is one launch, and its text computes it."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.backend.kernels.chain import FORMS, MADE, chain
from minigrad.backend.kernels.kernel import LAUNCHERS, options, source
from minigrad.testing import cuda_host, strict
from tests.backend.kernels.test_kernels import CLOSE, needs_gcc
from tests.optim.rules import IDS, OWN, RULES, draw

strict.device()
SHAPES = [(5, 3), (4,), (), (70_000,)]  # the last is more than a block on the CPU
CASES = pytest.mark.parametrize(
    ("name", "options"), RULES + OWN, ids=[*IDS, *(f"{name}({o})" for name, o in OWN)]
)


def optimizer(name, options, where="strict", dtype="float32"):
    params = [
        mg.tensor(draw(i, shape), dtype=dtype, device=where, requires_grad=True)
        for i, shape in enumerate(SHAPES)
    ]
    return params, getattr(optim, name)(params, **options)


def steps(name, options, where, dtype, count=3):
    params, made = optimizer(name, options, where, dtype)
    made.grad_scale = 0.5
    for k in range(count):
        for i, p in enumerate(params):
            p.grad = mg.tensor(draw([k, i], p.shape), dtype=dtype, device=where)
        made.step()
    return [p.numpy() for p in params]


@CASES
def test_an_update_is_one_launch(name, options, monkeypatch):
    launched, run = [], LAUNCHERS[strict.StrictArray]
    monkeypatch.setitem(
        LAUNCHERS, strict.StrictArray, lambda k, *rest: (launched.append(k), run(k, *rest))
    )
    steps(name, options, "strict", "float32")
    assert len(launched) == 3
    assert {kernel.file for kernel in launched} == {"chain"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@CASES
def test_a_step_that_is_skipped_changes_nothing(name, options, dtype, monkeypatch):
    params, made = optimizer(name, options, dtype=dtype)

    def step(value):
        for p in params:
            p.grad = mg.tensor(np.full(p.shape, value), dtype=dtype, device="strict")
        made.step()
        state = [s for p in params for s in made.state[p].values() if hasattr(s, "get")]
        return [p.numpy() for p in params] + [s.get() for s in state]

    before, launched, run = step(0.5), [], LAUNCHERS[strict.StrictArray]
    monkeypatch.setitem(
        LAUNCHERS, strict.StrictArray, lambda k, *rest: (launched.append(k.file), run(k, *rest))
    )
    made.skip = params[0].device.asarray(np.ones((), np.float32))
    for ours, theirs in zip(step(np.nan), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    made.skip = params[0].device.asarray(np.zeros((), np.float32))
    assert not np.array_equal(step(0.5)[0], before[0])
    assert launched == ["chain"] * 2


@needs_gcc
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@CASES
def test_the_cuda_text_takes_the_steps_of_the_cpu(name, options, dtype, library, monkeypatch):
    expected = steps(name, options, "cpu", dtype)
    monkeypatch.setitem(LAUNCHERS, strict.StrictArray, in_cuda(library))
    for a, b in zip(steps(name, options, "strict", dtype), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=10 * CLOSE[dtype], atol=CLOSE[dtype])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """All kernels are made first, so they are compiled together."""
    for name, chosen in RULES + OWN:
        steps(name, chosen, "strict", "float32", 1)
    return cuda_host.launcher(tmp_path_factory.mktemp("chains"))


def in_cuda(run):
    def launch(kernel, shape, args):
        run(kernel, shape, tuple(a._a if isinstance(a, strict.StrictArray) else a for a in args))

    return launch


def everything(xp, arrays, n, scratch):
    """All that can be written down."""
    x, y = arrays
    t, u = scratch
    xp.sqrt(xp.abs(x, out=t), out=t)
    xp.minimum(y, x, out=u)
    xp.divide(xp.add(t, 1.5, out=t), xp.subtract(u, 4, out=u), out=t)
    xp.maximum(t, n["limit"], out=t)
    u[...] = xp.where(x > 0.5, xp.where(y < 0, 2, t), xp.sign(x, out=u))
    xp.multiply(u, 0.5, out=x)


@needs_gcc
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_can_be_written_down(dtype, tmp_path, monkeypatch):
    made = chain("every thing!", everything, 2, ["limit"], 2)
    assert {line.call for line in made.lines} == set(FORMS)
    values = np.array([0.0, -0.0, 1, -1, 0.5, -2.5, np.nan, np.inf, -np.inf, 3], dtype)
    grid = [each.ravel().copy() for each in np.meshgrid(values, values)]
    limit = np.array(-0.25, "float64" if dtype == "float64" else "float32")
    found = []
    for _ in range(2):
        arrays = [grid[0].copy(), grid[1]]
        with np.errstate(all="ignore"):
            assert made.run(arrays, [limit])
        found.append(arrays[0])
        monkeypatch.setitem(LAUNCHERS, np.ndarray, cuda_host.launcher(tmp_path))
    np.testing.assert_allclose(*found, rtol=CLOSE[dtype])
    if dtype != "float16":
        room = [grid[0].copy(), grid[0].copy()]
        with np.errstate(all="ignore"):
            everything(np, (x := [grid[0].copy(), grid[1]]), {"limit": limit}, room)
        np.testing.assert_allclose(found[0], x[0], rtol=CLOSE[dtype])


@pytest.mark.parametrize(
    "formula",
    [
        lambda xp, arrays, n, room: xp.exp(arrays[0], out=arrays[0]),
        lambda xp, arrays, n, room: xp.add(arrays[0], np.ones(3), out=arrays[0]),
        lambda xp, arrays, n, room: xp.add(arrays[0], np.inf, out=arrays[0]),
        lambda xp, arrays, n, room: arrays[0].__setitem__(0, 1.0),
        lambda xp, arrays, n, room: xp.sqrt(arrays[0], out=arrays[0]) if arrays[0] > 0 else None,
    ],
)
def test_what_cannot_is_no_kernel(formula):
    assert chain("formula", formula, 1, [], 0) is None


def test_the_same_formula_is_the_same_kernel():
    made = [chain("f", everything, 2, ["limit"], 2) for _ in range(2)]
    assert made[0] is made[1]
    assert not made[0].run([np.ones((2, 3)).T] * 2, [np.ones(())])
    assert not made[0].run([np.ones(3), np.ones(3, "f")], [np.ones(())])
    assert not made[0].run([np.ones(3, int)] * 2, [np.ones(())])


def test_a_rule_of_a_user_that_is_no_kernel():
    class Odd(optim.SGD):
        def _update(self, xp, p, g, state, n, scratch, group):
            xp.subtract(p, xp.tanh(g), out=p)

    p = mg.tensor([1.0], device="strict", requires_grad=True)
    p.grad = mg.tensor([1.0], device="strict")
    Odd([p]).step()
    assert p.item() == pytest.approx(1 - np.tanh(1))


@pytest.mark.parametrize("arch", ["80", "90"])
def test_nvrtc_takes_them(arch, library):
    compiler = pytest.importorskip("cupy.cuda.compiler")
    text = source(*MADE.values())
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        program = compiler._NVRTCProgram(text, "chain", (), (), method="cubin")
        flags = (f"-arch=sm_{arch}", "-std=c++17", "-ftz=true", *options(dtype))
        cubin, _ = program.compile(flags, None)
        assert cubin[:4] == b"\x7fELF"
