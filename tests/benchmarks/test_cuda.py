"""What of the GPU's benchmark can be tested without one."""

from __future__ import annotations

import os

import pytest

from benchmarks import cuda, machine
from benchmarks.frameworks import ON_CUDA
from benchmarks.runner import Config, compare
from benchmarks.workloads import Workload
from minigrad.errors import DTypeError

GPU = {"name": "some GPU", "flops_32": 1e12, "flops_16": 1e13, "bytes": 1e12}


@pytest.mark.parametrize("gates", [4, 3])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("bits", [32, 16])
def test_the_layers_agree_in_both_types(gates, directions, bits, monkeypatch):
    pytest.importorskip("torch")
    from benchmarks.frameworks import minigrad, torch

    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    if bits == 16:
        pytest.importorskip("ml_dtypes")
    size = {"T": 3, "B": 2, "H": 8, "directions": directions, "gates": gates}
    workload = Workload("layer", "a layer", "rnn_layer", size)
    results = []
    for framework in (minigrad, torch):
        work = framework.Work(workload, workload.weights(), {"bits": bits})
        try:
            loss = work.step(*work.place(workload.batches(count=1)[0]))
        except DTypeError as error:  # the benchmark lists it as failed, with this reason
            pytest.skip(str(error))
        results.append((loss, work.gradients()))
    gradients, limit = cuda.TOLERANCES[bits]
    assert results[0][0] == pytest.approx(results[1][0], rel=limit)
    assert compare(results[0][1], results[1][1])[0] < gradients


def test_all_sizes_directions_and_types_are_measured():
    found = list(cuda.workloads())
    assert len({w.name for w, _ in found}) == len(found) == 2 * 3 * 2 * 2 + 2
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
    with pytest.raises(SystemExit, match="no GPU here"):
        cuda.measure(Config())


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
