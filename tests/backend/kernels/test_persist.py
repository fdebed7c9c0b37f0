"""All steps of a recurrent layer in one launch: where they fit, and when they are taken."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend.cuda.launch import limits
from minigrad.backend.device_gemm import precision
from minigrad.backend.kernels import kernels, persist, plan
from minigrad.backend.kernels.cells import CELLS
from minigrad.testing import strict
from minigrad.testing.strict import gpu
from tests.backend import fake_cupy
from tests.backend.kernels import test_in_ops
from tests.backend.kernels.test_in_ops import B, H, I, T, captured_as_on_the_host, run, values

H200 = plan.Limits(132, 227 << 10, clusters=True)
A100 = plan.Limits(108, 163 << 10)
LSTM = plan.Kind("lstm", 4, "forward", 1024, 1, "float32", None, beside=False)


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that the strict device launches, and their shapes."""
    seen = []

    def launch(kernel, shape, args):
        seen.append((kernel.name, shape))
        kernel.reference(*args)

    for kernel in kernels():
        monkeypatch.setitem(gpu.INSTEAD, kernel.name, launch)
    return seen


def persistent(launched):
    return [name for name, _ in launched if "persistent" in name or "cluster" in name]


def test_limits_are_the_devices(monkeypatch):
    for capability, processors, shared, expected in (
        ("90", 132, 232448, H200), ("80", 108, 166912, A100),
        ("75", 40, 65536, plan.Limits(40, 64 << 10, tensor=False)),
    ):  # fmt: skip
        attributes = {"MultiProcessorCount": processors, "MaxSharedMemoryPerBlockOptin": shared}
        monkeypatch.setattr(fake_cupy.FakeDevice, "compute_capability", capability)
        monkeypatch.setattr(
            fake_cupy.FakeDevice, "attributes", {"CooperativeLaunch": 1, **attributes}
        )
        assert limits(fake_cupy.make()) == expected


@pytest.mark.parametrize("limits", [H200, A100], ids=["H200", "A100"])
def test_all_blocks_of_a_plan_run_at_once(limits):
    cases = itertools.product(
        CELLS, ("forward", "backward"), (16, 96, 192, 256, 512, 704, 1024, 2048), (1, 4, 8),
        (("float32", None), ("float32", "bfloat16"), ("float64", None)), (False, True),
    )  # fmt: skip
    count = 0
    for cell, way, size, groups, (dtype, operand), beside in cases:
        kind = plan.Kind(cell.name, cell.gates, way, size, groups, dtype, operand, beside)
        for each in plan.plans(limits, kind):
            count += 1
            assert each.launch.shared <= limits.shared
            assert not each.J % (8 if operand else 4)
            assert each.splits >= 1
            if each.cluster:
                assert each.launch.grid == 8 * groups
                assert size <= 8 * each.J
            else:
                assert each.launch.grid <= limits.multiprocessors // (2 if beside else 1)
                assert each.launch.grid == -(-size // each.J)
    assert count > 100


def test_which_sizes_fit():
    def fits(limits, **changes):
        return list({each.cluster: 0 for each in plan.plans(limits, LSTM._replace(**changes))})

    assert fits(H200) == [False]
    assert fits(H200, groups=8) == [False]
    assert fits(A100) == []  # 192 KB of weights for each of 86 blocks
    assert fits(A100, operand="bfloat16") == [False]
    assert fits(A100, cell="gru", gates=3) == [False]
    assert fits(H200, beside=True) == []
    assert fits(H200, operand="bfloat16", beside=True) == [False]
    assert fits(H200, H=1536) == []
    assert fits(H200, H=1536, operand="float16") == [False]
    for way in ("forward", "backward"):
        assert fits(H200, H=192, way=way) == [True, False]
        assert fits(H200, H=384, way=way) == [False]
        assert fits(H200, H=384, way=way, operand="bfloat16") == [True, False]
    assert fits(H200._replace(cooperative=False)) == []
    assert fits(H200._replace(multiprocessors=1), H=8, beside=True) == [True]
    halves = LSTM._replace(operand="bfloat16")
    assert [each.launch.grid for each in plan.plans(H200, halves)] == [128, 64]
    assert [each.launch.grid for each in plan.plans(H200, halves._replace(gates=3))] == [
        128,
        64,
        32,
    ]
    assert [each.launch.grid for each in plan.plans(A100, LSTM._replace(H=64))] == [16]


def largest(limits, cell, operand, cluster):
    """The largest H that both ways of a cell can have, one of the two."""
    kind = plan.Kind(cell.name, cell.gates, "forward", 0, 1, "float32", operand, beside=False)
    return max(
        H
        for H in range(16, 4000, 16)
        if all(
            cluster in [each.cluster for each in plan.plans(limits, kind._replace(H=H, way=way))]
            for way in ("forward", "backward")
        )
    )


def test_the_documentation_says_what_fits():
    text = (Path(__file__).parents[3] / "docs" / "gpu.md").read_text(encoding="utf-8")
    for has, name in ((H200, "H200"), (A100, "A100")):
        ways = (False, True) if has.clusters else (False,)
        for operand, row in ((None, name), ("bfloat16", f"{name}, bfloat16")):
            sizes = [
                ", ".join(str(largest(has, cell, operand, way)) for way in ways) for cell in CELLS
            ]
            assert f"| {' | '.join([row, *sizes])} |" in text


def test_tensor_cores_take_halves_in_sixteens():
    x, half, odd = np.zeros((32, 3), "f4"), np.zeros((32, 3), "f2"), np.zeros((40, 3), "f4")
    assert plan.operand(H200, x) is None
    assert plan.operand(H200, half) == "float16"
    with precision("bfloat16"):
        assert plan.operand(H200, x) == "bfloat16"
        assert plan.operand(H200._replace(tensor=False), x) is None
        assert plan.operand(H200, odd) is None
        assert plan.operand(H200, x.astype("f8")) is None
    with precision("tf32"):
        assert plan.operand(H200, x) is None


def test_a_run_that_does_not_fit_is_left_alone():
    for cell in CELLS:
        assert not persist.forward(cell, print, *[np.zeros((4, 1))] * 4, 1, (0,))
        nothing = np.zeros((4, 1))
        assert not persist.backward(cell, nothing, None, None, None, nothing, None, print, 1, (0,))


RUNS = {
    "lstm": 1, "lstm, lengths": 3, "lstm, projected": 0, "gru": 1, "gru, lengths": 3, "rnn": 1,
    "rnn, relu": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_ops_take_all_steps_in_one_launch(name, launched, monkeypatch):
    """For each run of steps with the same sequences."""
    monkeypatch.setenv("MINIGRAD_PERSISTENT", "1")
    for ours, theirs in zip(run(name, "strict"), run(name, "cpu"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
    cell = f"{name.partition(',')[0]}_persistent"
    expected = [f"{cell}_{way}" for way in ("forward", "backward") for _ in range(RUNS[name])]
    assert persistent(launched) == expected


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_without_a_way_back(kind, launched, monkeypatch):
    monkeypatch.setenv("MINIGRAD_PERSISTENT", "1")
    layer, x = getattr(mg.nn, kind)(I, H), values(T, B, I)
    with mg.no_grad():
        expected = layer(mg.tensor(x))[0].numpy()
        y = layer.to("strict")(mg.tensor(x, device="strict"))[0].numpy()
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5)
    assert persistent(launched) == [f"{kind.lower()}_persistent_forward"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_rounded_products_are_those_of_the_steps(kind, launched, monkeypatch):
    """Inside `autocast` tensor cores multiply what a product per step multiplies."""
    layer = getattr(mg.nn, kind)(I, 16).to("strict")
    x = mg.tensor(values(T, B, I), device="strict")
    found = []
    for setting in ("0", "1"):
        monkeypatch.setenv("MINIGRAD_PERSISTENT", setting)
        layer.zero_grad()
        with mg.amp.autocast("bfloat16"):
            y = layer(x)[0]
            (y * y).sum().backward()
        found.append([y.numpy(), *(p.grad.numpy() for p in layer.parameters())])
    for steps, at_once in zip(*found, strict=True):
        np.testing.assert_allclose(at_once, steps, rtol=1e-2, atol=1e-2 * abs(steps).max())
    prefix = f"{kind.lower()}_persistent_bfloat16"
    assert persistent(launched) == [f"{prefix}_forward", f"{prefix}_backward"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_in_a_captured_step(kind, monkeypatch):
    monkeypatch.setenv("MINIGRAD_PERSISTENT", "1")
    captured_as_on_the_host(kind)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    ("setting", "won", "times"),
    [(None, 1, 1), (None, 2, 0), (None, -1, 0), ("0", 0, 0), ("1", 1, 1)],
)
def test_one_launch_where_it_was_faster(name, setting, won, times, launched, monkeypatch):
    monkeypatch.delenv("MINIGRAD_PERSISTENT", raising=False)
    if setting is not None:
        monkeypatch.setenv("MINIGRAD_PERSISTENT", setting)
    asked = []
    monkeypatch.setitem(
        plan.RACES, strict.StrictArray, lambda kind, ways: (asked.append(kind), won)[1]
    )
    monkeypatch.setattr(plan, "SHORT", T)
    run(name, "strict")
    assert len(persistent(launched)) == 2 * times
    kinds = [(name, way, H, 1, "float32", None, False) for way in ("forward", "backward")]
    assert [kind[:1] + kind[2:] for kind in asked] == (kinds if setting is None else [])
    asked.clear()
    monkeypatch.setattr(plan, "SHORT", T + 1)
    run(name, "strict")
    assert asked == []


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_what_races_computes_the_same(cell, dtype):
    """As do other sizes, and tensor cores, nearly."""
    small = plan.Limits(4, 200_000, clusters=True)
    for size, rounding in ((12, None), (16, None), (16, "bfloat16")):
        like = np.zeros((size, 5), dtype)
        for way, make in (("forward", persist._ways), ("backward", persist._ways_back)):
            with precision(rounding):
                operand = plan.operand(small, like)
                kind = plan.Kind(cell.name, cell.gates, way, size, 1, dtype, operand, False)
                found = plan.plans(small, kind)
                assert {each.cluster for each in found} == {True, False}
                *others, right = [each() for each in make(cell, False, found, like, 5)]
            assert np.abs(right).max() > 0.1
            for each in others:
                error = np.abs(each - right).max() / np.abs(right).max()
                assert error < (5e-3 if rounding or dtype == "float16" else 1e-5)


@pytest.mark.parametrize("clusters", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_side_by_side_each_direction_has_half_of_the_gpu(kind, clusters, launched, monkeypatch):
    """Two grids that wait for blocks for which there is no room would wait for each other."""
    monkeypatch.setenv("MINIGRAD_PERSISTENT", "1")
    limits = gpu.LIMITS._replace(clusters=clusters)
    monkeypatch.setitem(plan.LIMITS, strict.StrictArray, lambda: limits)
    layer = getattr(mg.nn, kind)(I, 20, bidirectional=True)
    x = values(T, B, I)
    expected = layer(mg.tensor(x))[0].numpy()
    y, _ = layer.to("strict")(mg.tensor(x, device="strict"))
    np.testing.assert_allclose(y.numpy(), expected, rtol=2e-5, atol=2e-5)
    y.sum().backward()
    prefix = f"{kind.lower()}_{'cluster' if clusters else 'persistent'}"
    assert persistent(launched) == [f"{prefix}_forward"] * 2 + [f"{prefix}_backward"] * 2
    if not clusters:
        at_once = [shape.grid for name, shape in launched if prefix in name]
        assert at_once == [limits.multiprocessors // 2] * 4


def test_the_table_has_what_the_ops_ask_for():
    assert set(RUNS) <= set(test_in_ops.OPS)
