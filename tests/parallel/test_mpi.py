"""Real processes: each test starts `mpiexec` on `tests/parallel/ranks.py`."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import parallel
from minigrad.errors import ConfigError, MissingExtraError

ROOT = Path(__file__).parents[2]
MPIEXEC = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="mpi4py or mpiexec is missing: pip install mpi4py mpich",
)


def launch(size, *arguments, timeout=120):
    return subprocess.run(
        [MPIEXEC, "-n", str(size), sys.executable, "-m", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "MINIGRAD_NUM_THREADS": "1"},
    )  # fmt: skip


def ranks(size, case, folder, **options):
    done = launch(size, "tests.parallel.ranks", case, str(folder), **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def same(folder, name, other):
    a, b = np.load(folder / f"{name}.npz"), np.load(folder / f"{other}.npz")
    assert set(a) == set(b)
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=2e-5, atol=2e-6, err_msg=key)


@needs_mpi
@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_a_group_does(tmp_path, size):
    ranks(size, "collectives", tmp_path)


@needs_mpi
@pytest.mark.parametrize("case", ["by_hand", "shuffled", "language"])
def test_processes_with_a_share_each_do_what_one_does_with_all(tmp_path, case):
    sizes = [1, 2] if case == "by_hand" else [1, 2, 3]
    for size in sizes:
        ranks(size, case, tmp_path)
    for size in sizes[1:]:
        same(tmp_path, f"{case}-1", f"{case}-{size}")


@needs_mpi
def test_programs_do_what_the_plain_steps_do(tmp_path):
    ranks(1, "shuffled", tmp_path)
    for size in (1, 2):
        ranks(size, "compiled", tmp_path)
    same(tmp_path, "shuffled-1", "compiled-1")
    same(tmp_path, "shuffled-1", "compiled-2")
    same(tmp_path, "whole_step-1", "whole_step-2")


@needs_mpi
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
def test_a_run_goes_on_with_another_number_of_processes(tmp_path, before, after):
    ranks(1, "language", tmp_path)
    ranks(before, "cut", tmp_path)
    assert {p.read_text() for p in tmp_path.glob("rank*.txt")} == {"1 2"}
    ranks(after, "resume", tmp_path)
    same(tmp_path, "language-1", f"resume-{after}")


@needs_mpi
def test_a_signal_for_one_process_stops_all_after_the_same_batch(tmp_path):
    ranks(2, "interrupted", tmp_path)
    assert [p.read_text() for p in sorted(tmp_path.glob("rank*.txt"))] == ["1 2", "1 2"]
    assert (tmp_path / "run" / "last.safetensors").exists()


@needs_mpi
def test_where_rank_0_fails_all_do_and_the_work_is_saved(tmp_path):
    ranks(2, "evaluation_fails", tmp_path)
    texts = [p.read_text() for p in sorted(tmp_path.glob("rank*.txt"))]
    assert texts[0] == "ValueError: no validation today"
    assert texts[1].startswith("ParallelError: Trainer: rank 0 failed in evaluate: ValueError")
    assert (tmp_path / "run" / "last.safetensors").exists()


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
