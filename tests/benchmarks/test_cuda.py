"""What of the GPU's benchmark can be tested without one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import cuda, machine
from benchmarks.frameworks import ON_CUDA
from benchmarks.runner import Config, compare
from benchmarks.workloads import WORKLOADS, Workload

GPU = {"name": "some GPU", "flops_32": 1e12, "flops_16": 1e13, "bytes": 1e12}


@pytest.mark.parametrize("gates", [4, 3])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("bits", [32, 16])
def test_the_layers_agree_in_both_types(gates, directions, bits, monkeypatch):
    pytest.importorskip("torch")
    from benchmarks.frameworks import minigrad, torch

    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    size = {"T": 3, "B": 2, "H": 8, "directions": directions, "gates": gates}
    workload = Workload("layer", "a layer", "rnn_layer", size)
    results = []
    for framework in (minigrad, torch):
        work = framework.Work(workload, workload.weights(), {"bits": bits})
        loss = work.step(*work.place(workload.batches(count=1)[0]))
        results.append((loss, work.gradients()))
    gradients, limit = cuda.TOLERANCES[bits]
    assert results[0][0] == pytest.approx(results[1][0], rel=limit)
    assert compare(results[0][1], results[1][1])[0] < gradients


def test_all_sizes_directions_and_types_are_measured():
    found = list(cuda.workloads())
    assert len({w.name for w, _ in found}) == len(found) == 2 * 3 * 2 * 2 + 7
    assert {bits for _, bits in found} == {16, 32}


def test_the_floor_is_the_longer_of_products_and_bytes():
    workload, bits = next(cuda.workloads())
    operations, moved = workload.module.floor(workload.s, bits // 8)
    assert operations == 6 * 128 * 32 * 4 * 256 * 512
    assert cuda.floor(workload, bits, GPU) == pytest.approx(1e3 * operations / 1e12)
    slow = {**GPU, "bytes": 1e3}
    assert cuda.floor(workload, bits, slow) == pytest.approx(1e3 * moved / 1e3)


def test_implementations_know_the_device():
    for name, one in cuda.here(16).items():
        assert one.options["device"] == "cuda"
        assert one.options["bits"] == 16
        assert "device" not in ON_CUDA[name].options


def test_without_a_gpu_it_says_so(monkeypatch):
    monkeypatch.setattr(cuda, "peaks", lambda config: {"skip": "no GPU here"})
    monkeypatch.setattr(cuda, "why_not_available", lambda: "no CuPy either")
    with pytest.raises(SystemExit, match=r"no GPU here\n.*: no CuPy either"):
        cuda.measure(Config())


def test_a_run_without_a_gpu(monkeypatch, capsys):
    """All of it but PyTorch's part: minigrad runs on the stand-in for CuPy, PyTorch on the CPU."""
    pytest.importorskip("torch")
    stand_in = Path(__file__).parents[1] / "backend" / "stand_in"
    monkeypatch.setenv("PYTHONPATH", str(stand_in))
    size = {"T": 5, "B": 2, "H": 8, "directions": 2, "gates": 4}
    layer = Workload("layer", "a layer", "rnn_layer", size)
    tagger = WORKLOADS["W3"].resized(V=20, E=4, H=5, C=3, B=3, shortest=2, T=6)
    here, torch = cuda.here, ON_CUDA["cuda-torch"]

    def on_what_there_is(bits):
        return here(bits) | {"cuda-torch": replace(torch, options={"bits": bits})}

    monkeypatch.setattr(cuda, "here", on_what_there_is)
    monkeypatch.setattr(cuda, "peaks", lambda config: GPU)
    monkeypatch.setattr(cuda, "workloads", lambda: [(layer, 16), (tagger, 32)])
    monkeypatch.setattr(cuda, "LAST", ("memory", "device_memory"))
    result = cuda.measure(Config(rounds=1, seconds=0.01, timeout=120))
    assert list(result["workloads"]) == ["layer", "W3"]
    for told in result["workloads"].values():
        for name in ("cuda-eager", "cuda-compiled", "cuda-torch"):
            assert told["implementations"][name]["ms"], told["implementations"][name]
        assert told["implementations"]["cuda-compiled"]["device_mb"] > 0
    assert cuda.Kept.kept == {}
    assert "mg.compile" in capsys.readouterr().out
    assert "| layer | mg.compile" in cuda.text(result | {"command": "", "machine": machine.facts()})


def test_the_report_has_a_row_per_implementation():
    times = {"ms": {"": {"0": 2.0, "1": 4.0}}, "device_mb": 64.0, "kernels": 12, "launches": 1}
    told = {"cuda-compiled": times, "cuda-torch": times, "cuda-eager": {"failed": "it does not"}}
    result = {
        "command": "c",
        "machine": machine.facts(),
        "gpu": GPU,
        "workloads": {"LSTM": {"implementations": told, "floor_ms": 1.5}},
    }
    text = cuda.text(result)
    line = next(line for line in text.splitlines() if line.startswith("| LSTM | mg.compile"))
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[4:9] == ["1.00 [1.00, 1.00]", "50%", "64", "12", "1"]
    assert "minigrad: failed: it does not" in text
