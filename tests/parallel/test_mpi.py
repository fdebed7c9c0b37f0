"""Real processes that `mpiexec` starts on `tests/parallel/ranks.py`, and how they end."""

import sys
import time

import numpy as np
import pytest

import minigrad as mg
from minigrad import parallel
from minigrad.errors import ConfigError, MissingExtraError
from tests.parallel.launch import launch, needs_mpi


@needs_mpi
def test_an_exception_in_one_process_ends_all_and_is_shown(tmp_path):
    began = time.monotonic()
    done = launch(2, "tests.parallel.ranks", "raises", str(tmp_path))
    assert done.returncode != 0
    assert "ZeroDivisionError: rank 1 has had enough" in done.stderr
    assert "rank 1 of 2 failed; ending all ranks" in done.stderr
    assert time.monotonic() - began < 50


@needs_mpi
def test_a_killed_process_ends_all(tmp_path):
    began = time.monotonic()
    done = launch(2, "tests.parallel.ranks", "killed", str(tmp_path))
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "BAD TERMINATION" in said
    assert "signal 9" in said
    assert time.monotonic() - began < 50


@needs_mpi
def test_a_process_that_hangs_is_noticed(tmp_path):
    began = time.monotonic()
    done = launch(2, "tests.parallel.ranks", "hangs", str(tmp_path))
    assert done.returncode != 0
    assert "rank 0 of 2 waited 1 s for the others (all_reduce): a process hangs" in done.stderr
    assert time.monotonic() - began < 50


def test_without_mpi4py_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(MissingExtraError, match=r"minigrad\[mpi\]"):
        parallel.start("mpi")


def test_a_group_of_one_costs_nothing():
    group = parallel.start()
    flat = np.ones(3)
    group.all_reduce(flat)
    group.broadcast(flat)
    group.barrier()
    w = mg.tensor([1.0], requires_grad=True)
    w.grad = mg.tensor([3.0])
    before = w.grad
    group.average([w])
    group.synchronize([w])
    assert w.grad is before
    assert flat.tolist() == [1.0] * 3
    assert group.gather(5) == [5]
    assert group.sums(1, 2) == [1.0, 2.0]
    assert repr(group) == "Group(rank 0 of 1)"
    with pytest.raises(ConfigError, match="kind is 'smoke signals'"):
        parallel.start("smoke signals")
    with pytest.raises(ConfigError, match="weights sum to 0"):
        group.part(0.0, 0.0)


@needs_mpi
def test_a_bad_timeout_is_refused():
    with pytest.raises(ConfigError, match="timeout"):
        parallel.start("mpi", timeout=0)
