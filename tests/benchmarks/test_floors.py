"""Calls alone, and what follows from their times; no test of a time."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import alone, floors, machine
from benchmarks.frameworks import ALONE, minigrad
from benchmarks.runner import Config, compare
from benchmarks.workloads import WORKLOADS
from minigrad.backend import fast

MLP = WORKLOADS["W6"].resized(H=3, B=4)
TAGGER = WORKLOADS["W3"].resized(V=9, E=4, H=3, C=5, B=4, shortest=1, T=5)


@pytest.fixture(autouse=True)
def _by_numpy():
    with fast.switched(False):
        yield


def stepped(workload):
    """Work that steps as `alone` measures it, its step, and the batch."""
    work = minigrad.Work(workload, workload.weights(), ALONE["alone"].options)
    batch = work.place(workload.batches(count=1)[0])
    return work, lambda: work.step(*batch)


@pytest.mark.parametrize("workload", [MLP, TAGGER], ids=["W6", "W3"])
def test_the_calls_are_the_step(workload):
    work, step = stepped(workload)
    made = alone.calls_of(step)
    work.load(workload.weights())
    step()
    right = work.gradients()
    work.load(workload.weights())
    for parameter in work.parameters:
        parameter.grad.data[...] = np.nan
    alone.replayed(call for _, call in made)
    assert compare(work.gradients(), right)[0] == 0


def test_the_operations_are_those_of_all_products():
    s = MLP.s
    forward = 2e-9 * s.B * (s.I * s.H + s.H * s.H + s.H * s.O)
    inputs = 2e-9 * s.B * (s.H * s.H + s.H * s.O)  # of the layers but the first
    biases = 2e-9 * s.B * (2 * s.H + s.O)  # whose gradients may be products with ones
    found = alone.operations(alone.calls_of(stepped(MLP)[1]))
    assert 2 * forward + inputs <= found * (1 + 1e-9)
    assert found <= (2 * forward + inputs + biases) * (1 + 1e-9)


def test_calls_inside_a_layer_with_lengths_are_seen():
    kinds = [kind for kind, _ in alone.calls_of(stepped(TAGGER)[1])]
    assert kinds.count(alone.PRODUCTS) > 2 * TAGGER.s.T  # at least one per step and direction
    assert {alone.ELEMENTWISE, alone.COPIES, alone.KERNELS, alone.UPDATE} < set(kinds)
    assert alone.EXCHANGE not in kinds


def test_the_kinds_add_up_to_the_calls():
    found = alone.alone(stepped(MLP)[1])
    kinds = [time for what, time in found.items() if what in alone.KINDS]
    assert sum(kinds) == pytest.approx(found[alone.CALLS])
    assert found[alone.PRODUCTS_ALONE] > 0


def entry(ms, **times):
    """An implementation with the same time in two rounds, and times alone."""
    rounds = {what: {"": {"0": t, "1": t}} for what, t in {"": ms, **times}.items()}
    return {"ms": rounds.pop(""), "alone": rounds, "roofline": {"flops": 4e11, "bandwidth": 1e10}}


def workload(compiled, products, calls):
    """W1, in which PyTorch takes 10 ms."""
    kinds = {alone.PRODUCTS: products, alone.ELEMENTWISE: calls - products}
    times = {alone.STEP: 2 * compiled, alone.CALLS: calls, alone.PRODUCTS_ALONE: products}
    times |= {alone.OPERATIONS: 1.0}
    told = {
        "torch-1": entry(20.0),
        "torch-2": entry(10.0),
        "compiled": entry(2 * compiled),
        "compiled-2p": entry(compiled),
        "alone": entry(2 * compiled, **times),
        "alone-2p": entry(compiled, **{k: t / 2 for k, t in (times | kinds).items()}),
    }
    return {"title": "", "size": {}, "implementations": told}


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        ((9.0, 10.0, 16.0), "met"),
        ((9.2, 18.4, 18.6), "missed: the products alone take longer"),
        ((9.2, 10.0, 18.4), "missed: the calls alone take longer"),
        ((9.2, 10.0, 16.0), "missed"),
    ],
)
def test_a_verdict_says_what_stands_above_the_target(times, verdict):
    (row,) = floors.verdicts(floors.Found("W1", workload(*times), {}))
    assert row[0] == "W1 compiled (mg.compile, batch over 2 processes) / PyTorch"
    half = [f"{time / 20:.2f}" for time in times[1:]]  # of 10 ms, on two cores
    assert row[1:] == ("≤ 0.9", f"{times[0] / 10:.2f}", *half, verdict)


def test_small_ops_have_targets_in_microseconds():
    small = {"ms": {"add forward": {"0": 4e-4}, "matmul forward": {"0": 5e-4}}}
    calls = {"ms": small["ms"], "alone": {alone.CALLS: {"add forward": {"0": 35e-5}}}}
    told = {"implementations": {"compiled": small, "alone": calls}}
    rows = {row[0]: row[1:] for row in floors.verdicts(floors.Found("W8", told, {}))}
    found = rows["W8 compiled forward, µs, the dearest op"]
    assert found == ("≤ 0.3", "0.50", "", "0.35", "missed: the calls alone take longer")


def test_the_report():
    slow = {"alone": {"roofline": {"flops": 3e11, "bandwidth": 2e10}}}
    result = {
        "command": "c",
        "machine": machine.facts(),
        "floors": {"W1": workload(9.2, 10.0, 16.0), "W2": {"implementations": slow}},
    }
    lines = floors.text(result).splitlines()
    assert (
        "The roofline, one core: 400 GFLOP/s in products, 20 GB/s in copies; two at once"
        in lines[4]
    )
    row, _, half = ([cell.strip() for cell in line.split("|")] for line in lines if "| W1" in line)
    assert row[2:9] == ["10 ms", "1", "10 ms", "25%", "0.50", "16 ms", "8 ms"]
    assert half[2:5] == ["9.2 ms", "54%", "33%"]
    assert half[9:11] == ["13%", "50%"]


def test_the_command_keeps_it(monkeypatch, tmp_path, capsys):
    asked = []

    def measure(workloads, config):
        asked.append(config.implementations)
        return {"W1": workload(9.2, 10.0, 16.0)}

    monkeypatch.setattr(floors, "measure", measure)
    assert command.main(["--floors", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("*-floors.md")
    assert path.read_text() in capsys.readouterr().out
    assert path.with_suffix(".json").exists()
    assert command.main(["--floors", "--impl", "eager", "--no-save"]) == 0
    assert asked == [floors.NAMES, ("eager",)]


def test_small_steps_are_not_divided():
    assert floors.names(WORKLOADS["W6"], ("eager", "eager-2p")) == ("eager", "alone", "by-hand")
    assert floors.names(WORKLOADS["W1"], ("eager",)) == ("eager", "alone", "alone-2p")


def test_a_run(capsys):
    pytest.importorskip("torch")
    config = Config(implementations=("torch-2",), rounds=2, seconds=0.001)
    found = floors.measure([TAGGER, WORKLOADS["sampler"]], config)
    told = found["W3"]["implementations"]
    assert set(told) == {"torch-2", "alone", "alone-2p"}
    for name in ("alone", "alone-2p"):
        assert set(told[name]["alone"][alone.CALLS][""]) == {"0", "1"}
        assert told[name]["roofline"]["flops"] > 0
    assert alone.EXCHANGE in told["alone-2p"]["alone"]
    assert "| W3, half a batch" in floors.text(
        {"command": "", "machine": machine.facts(), "floors": found}
    )
