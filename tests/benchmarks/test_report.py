"""Ratios, verdicts and files, from made-up measurements."""

from __future__ import annotations

import pytest

from benchmarks import machine, report


def entry(*ms, **more):
    told = {str(k): v for k, v in enumerate(ms)}
    return {"ms": {"": told}, "peak_mb": 100.0, "first_ms": 9.0, "gradient_error": 1e-7, **more}


@pytest.fixture
def workload():
    told = {
        "eager": entry(3.0, 6.0, 9.0, import_ms=80.0, peak_mb=40.0),
        "eager-2": entry(1.0, 2.0, 30.0, import_ms=90.0, peak_mb=60.0),
        "compiled": {"failed": "it does not"},
        "torch-1": entry(4.0, 4.0, 4.0),
        "torch-2": entry(2.0, 4.0, 3.0, import_ms=900.0),
        "jax": {"ms": {"": {"0": 1.0, "2": 6.0}}, "peak_mb": 1, "first_ms": 1, "gradient_error": 0},
    }
    return {"title": "a title", "size": {"T": 3}, "implementations": told}


def test_ratios_are_taken_round_by_round(workload):
    told = workload["implementations"]
    assert report.best(told, ("torch-1", "torch-2")) == "torch-2"
    assert report.ratios(told, "eager", "torch-2") == pytest.approx([1.5, 1.5, 3.0])
    assert report.ratios(told, "jax", "torch-2") == pytest.approx([0.5, 2.0])  # two rounds of three
    assert report.ratios(told, "compiled", "torch-2") == []


def test_a_workload_in_parts_counts_with_the_geometric_mean():
    parts = {"a": {"0": 1.0, "1": 3.0}, "b": {"0": 4.0, "1": 12.0}}
    assert report.by_round({"ms": parts}) == pytest.approx({"0": 2.0, "1": 6.0})


def test_rows_show_figures_and_absent_the_reasons(workload):
    found = {row[0]: row for row in report.rows(workload)}
    assert found["minigrad"][1:3] == ("6.00 [4.50, 7.50] ms", "1.50 [1.50, 2.25]")
    assert found["PyTorch, 2 threads"][-1] == "reference"
    assert "mg.compile" not in found
    assert report.absent(workload) == "- mg.compile: failed: it does not\n"


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        ([150.0], "150.0 [150.0, 150.0] ms"),
        ([0.25], "250 [250, 250] µs"),
        ([0.002], "2.00 [2.00, 2.00] µs"),
    ],
)
def test_units(ms, expected):
    assert report.duration(ms) == expected


def test_verdicts_take_the_best_of_a_column(workload):
    told = {row[0]: row[1:] for row in report.verdicts({"W1": workload})}
    best = told["W1 eager (minigrad, batch over 2 threads) / PyTorch"]
    assert best == ("0.50", "≤ 1.15", "met")
    assert told["W1 memory / PyTorch's"] == ("0.40", "≤ 0.5", "met")
    assert told["import minigrad and NumPy, ms"] == ("85.00", "≤ 100", "met")
    assert not any("compiled" in what for what in told)


def test_the_sampler_and_small_ops_have_targets_of_their_own():
    parts = {"add forward": {"0": 0.001}, "add both": {"0": 0.006}}
    small = {"implementations": {"eager": {**entry(1.0), "ms": parts}, "torch-1": entry(1.0)}}
    sampler = {"implementations": {"eager": entry(4.0), "compiled": entry(1.0)}}
    told = {row[0]: row[1:] for row in report.verdicts({"W8": small, "sampler": sampler})}
    assert told["W8 eager forward, µs, the dearest op"] == ("1.00", "≤ 2", "met")
    assert told["W8 eager both, µs, the dearest op"][-1] == "MISSED"
    assert told["sampler eager / compiled"] == ("4.00", "≥ 3", "met")


def test_tables_are_aligned():
    lines = report.table(("", "long head"), [("a name", "1")]).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_files_are_named_by_date_and_machine(workload, tmp_path):
    told = machine.facts()
    assert told["cores"] >= 1
    assert "numpy" in told["versions"]
    told |= {"date": "2026-01-02 03:04 UTC", "cpu": "Some CPU (R) 9", "cores": 2}
    result = {"command": "c", "machine": told, "workloads": {"W1": workload}}
    paths = report.save(result, report.text(result), tmp_path)
    assert paths[0].name == "2026-01-02-some-cpu-r-9-2-cores.json"
    assert "## W1: a title" in paths[1].read_text(encoding="utf-8")


def test_the_plot_is_drawn(workload, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "plot.svg"
    assert report.plot({"workloads": {"W1": workload}}, path)
    assert "<svg" in path.read_text(encoding="utf-8")


def test_numbers_are_kept_short():
    assert report.rounded({"a": [1.23456789, "b", 3]}) == {"a": [1.2346, "b", 3]}
