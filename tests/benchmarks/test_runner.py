"""Processes, checks, rounds; no test of a time."""

from __future__ import annotations

import cProfile
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import growth, profiles, runner, worker
from benchmarks.frameworks import IMPLEMENTATIONS, SkipError
from benchmarks.workloads import WORKLOADS

TINY = WORKLOADS["W6"].resized(H=3, B=2)
RIGHT = {"a": np.array([1.0, 2.0]), "b": np.array([[4.0]])}


def test_compare_is_relative_to_the_largest_entry():
    found = {"a": np.array([1.0, 2.2]), "b": np.array([[4.0]])}
    error, name = runner.compare(found, RIGHT)
    assert error == pytest.approx(0.1)
    assert name == "a"


@pytest.mark.parametrize(
    "found",
    [
        {"a": RIGHT["a"]},
        {**RIGHT, "c": RIGHT["a"]},
        {**RIGHT, "b": np.array([4.0])},
        {**RIGHT, "b": np.array([[np.nan]])},
    ],
)
def test_what_cannot_be_compared_is_wrong(found):
    assert runner.compare(found, RIGHT)[0] == np.inf


def test_a_worker_answers_with_skips_and_errors(capfd):
    job = {"do": "start", "framework": "no_such_framework", "workload": {}, "options": {}}
    assert worker.answer(None, job)[1] == {"skip": "no_such_framework is not installed"}
    answer = worker.answer(None, {"do": "block"})[1]
    assert answer["error"].startswith("AttributeError")
    assert "Traceback" in capfd.readouterr().err


class FakeProcess:
    """Answers as a worker would; "slow" is wrong, "jax" dies in its second block."""

    log: list = []  # noqa: RUF012

    def __init__(self, one, workload, config):
        self.name, self.blocks = one.name, 0
        self.hello = {"skip": "none here"} if one.name == "dezero" else {"import_ms": 1.0}

    def ask(self, what, **given):
        self.log.append((self.name, what))
        if what == "check":
            np.savez(given["path"], w=np.full(3, 2.0 if self.name == "mygrad" else 1.0))
            return {"loss": 0.5, "first_ms": 1.0}
        if what == "block":
            self.blocks += 1
            if self.name == "jax" and self.blocks == 2:
                raise runner.DiedError("Killed")
            return {"times": {"": [3.0, 1.0, 2.0]}}
        return {"peak_mb": 10.0}

    def close(self):
        self.log.append((self.name, "close"))


@pytest.fixture
def measured(monkeypatch):
    FakeProcess.log = []
    monkeypatch.setattr(runner, "Process", FakeProcess)
    names = ("eager", "torch-1", "torch-2", "jax", "dezero", "mygrad")
    said = []
    config = runner.Config(implementations=names, rounds=4)
    result = runner.measure([TINY], config, said.append)
    return result["W6"]["implementations"], said


def test_medians_are_kept_by_round(measured):
    results, _ = measured
    assert results["eager"]["ms"] == {"": dict.fromkeys("0123", 2.0)}
    assert results["eager"]["gradient_error"] == 0
    assert results["eager"]["peak_mb"] == 10


def test_who_is_wrong_skipped_or_dead_has_no_time(measured):
    results, said = measured
    assert results["dezero"] == {"skipped": "none here"}
    assert results["mygrad"] == {"wrong": "gradients, 1.0e+00: w"}
    assert results["jax"] == {"failed": "Killed"}
    assert len(said) == 4
    assert ("mygrad", "block") not in FakeProcess.log


def test_rounds_are_interleaved_and_processes_ended(measured):
    blocks = [name for name, what in FakeProcess.log if what == "block"]
    assert set(blocks[:4]) == {"eager", "torch-1", "torch-2", "jax"}
    assert blocks.count("eager") == 4
    closed = [name for name, what in FakeProcess.log if what == "close"]
    assert sorted(closed) == ["dezero", "eager", "jax", "mygrad", "torch-1", "torch-2"]


def test_a_real_process_is_checked_and_timed():
    config = runner.Config(seconds=0.001)
    process = runner.Process(IMPLEMENTATIONS["eager"], TINY, config)
    try:
        assert process.hello["import_ms"] > 0
        assert "error" in process.ask("nonsense")
        assert len(process.ask("block", seconds=0.05)["times"][""]) >= 2
        assert len(process.ask("block", seconds=0)["times"][""]) == 1
        point = process.ask("point", sizes={"B": 4}, seconds=0.001)
        assert point["ms"] > 0
        assert process.ask("memory")["peak_mb"] > 1
        process.child.kill()
        process.child.wait()
        with pytest.raises(runner.DiedError):
            process.ask("memory")
    finally:
        process.close()


def test_real_processes_work_as_one(tmp_path):
    config = runner.Config(seconds=0.001)
    one, two = (runner.Process(IMPLEMENTATIONS[n], TINY, config) for n in ("eager", "eager-2p"))
    try:
        assert "import_ms" not in two.hello
        paths = [tmp_path / "one.npz", tmp_path / "two.npz"]
        told = [each.ask("check", path=str(p)) for each, p in zip((one, two), paths, strict=True)]
        assert told[0]["loss"] == pytest.approx(told[1]["loss"], rel=1e-5)
        assert runner.compare(*map(np.load, paths))[0] < 1e-5
        assert len(two.ask("block", seconds=0.05)["times"][""]) >= 2
        alone, together = one.ask("memory")["peak_mb"], two.ask("memory")["peak_mb"]
        assert alone < together < 2 * alone
        assert "error" in two.ask("nonsense")
    finally:
        one.close()
        two.close()


def test_the_death_of_one_process_is_that_of_all():
    config = runner.Config()
    process = runner.Process(IMPLEMENTATIONS["eager-2p"], TINY, config)
    try:
        process.ask("check", path="/dev/null")
        with Path(f"/proc/{process.child.pid}/task/{process.child.pid}/children").open() as file:
            os.kill(int(file.read()), signal.SIGKILL)
        with pytest.raises(runner.DiedError, match="rank 1 failed: killed by signal 9"):
            process.ask("block", seconds=1)
    finally:
        process.close()


def test_what_minigrad_lacks_is_skipped(monkeypatch):
    from benchmarks.frameworks import minigrad as own

    monkeypatch.setattr(own, "find_spec", lambda name: None)
    with pytest.raises(SkipError, match="fast"):
        own.need({"fast": True})


def test_a_profile_names_functions_of_the_repository(tmp_path):
    made = cProfile.Profile()
    made.runcall(runner.compare, RIGHT, RIGHT)
    made.dump_stats(tmp_path / "profile")
    rows = profiles.hot_spots(str(tmp_path / "profile"), 1)
    assert any(row[-1].startswith("benchmarks/runner.py:") for row in rows)
    assert [float(row[0]) for row in rows] == sorted((float(row[0]) for row in rows), reverse=True)


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 10, 100], 1.0), ([1, 100, 10_000], 2.0), ([5, 5, 5], 0.0)]
)
def test_slopes(values, expected):
    assert growth.slope([1, 10, 100], values) == pytest.approx(expected, abs=1e-9)


def test_growth_marks_what_is_steeper_than_it_should_be():
    entry = {"ms": [1.0, 10.0, 400.0], "mb": [0.1, 0.2, 0.3], "loss": []}
    told = {"values": [1, 10, 100], "implementations": {"eager": entry}}
    time, memory = growth.rows("T", told)
    assert "steep" in time[-1]
    assert memory[-1] == "nan"
    assert "steep" not in growth.rows("hidden", told)[0][-1]


def test_the_command_refuses_unknown_names():
    with pytest.raises(SystemExit, match="known are W1"):
        command.main(["--only", "W99"])


def test_the_command_prints_and_writes(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(runner, "Process", FakeProcess)
    arguments = ["--only", "W6", "--impl", "eager,torch-2", "--out", str(tmp_path), "--quick"]
    assert command.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "## W6" in printed
    (path,) = tmp_path.glob("*.json")
    kept = json.loads(path.read_text())
    assert kept["command"].endswith(" ".join(arguments))
    assert kept["workloads"]["W6"]["implementations"]["eager"]["ms"]
    assert path.with_suffix(".md").read_text() in printed


def test_a_part_is_not_kept_among_the_full_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(runner, "Process", FakeProcess)
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    assert command.main(["--only", "W6", "--impl", "eager,torch-2"]) == 0
    assert "## W6" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert command.main([]) == 0
    assert len(list(tmp_path.glob("*.md"))) == 1
