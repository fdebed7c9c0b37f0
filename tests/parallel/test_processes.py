"""What processes do together, whoever started them: `mpiexec`, or a fork of this one."""

import os

import numpy as np
import pytest

from minigrad import parallel
from tests.parallel import ranks as cases
from tests.parallel.launch import needs_mpi, ranks_of_mpi


def ranks_of_a_fork(size, case, folder):
    parallel.run(lambda group: getattr(cases, case)(group, folder), size, timeout=60)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture(
    params=[pytest.param("fork", marks=needs_fork), pytest.param("mpi", marks=needs_mpi)]
)
def ranks(request):
    """`ranks(size, case, folder)` runs a case of `tests/parallel/ranks.py`."""
    return ranks_of_a_fork if request.param == "fork" else ranks_of_mpi


def same(folder, name, other):
    a, b = np.load(folder / f"{name}.npz"), np.load(folder / f"{other}.npz")
    assert set(a) == set(b)
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=2e-5, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_a_group_does(ranks, tmp_path, size):
    ranks(size, "collectives", tmp_path)


@pytest.mark.parametrize("case", ["by_hand", "shuffled", "language"])
def test_processes_with_a_share_each_do_what_one_does_with_all(ranks, tmp_path, case):
    sizes = [1, 2] if case == "by_hand" else [1, 2, 3]
    for size in sizes:
        ranks(size, case, tmp_path)
    for size in sizes[1:]:
        same(tmp_path, f"{case}-1", f"{case}-{size}")


def test_programs_do_what_the_plain_steps_do(ranks, tmp_path):
    ranks(1, "shuffled", tmp_path)
    for size in (1, 2):
        ranks(size, "compiled", tmp_path)
    same(tmp_path, "shuffled-1", "compiled-1")
    same(tmp_path, "shuffled-1", "compiled-2")
    same(tmp_path, "whole_step-1", "whole_step-2")


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
def test_a_run_goes_on_with_another_number_of_processes(ranks, tmp_path, before, after):
    ranks(1, "language", tmp_path)
    ranks(before, "cut", tmp_path)
    assert {p.read_text() for p in tmp_path.glob("rank*.txt")} == {"1 2"}
    ranks(after, "resume", tmp_path)
    same(tmp_path, "language-1", f"resume-{after}")


def test_a_signal_for_one_process_stops_all_after_the_same_batch(ranks, tmp_path):
    ranks(2, "interrupted", tmp_path)
    assert [p.read_text() for p in sorted(tmp_path.glob("rank*.txt"))] == ["1 2", "1 2"]
    assert (tmp_path / "run" / "last.safetensors").exists()


def test_where_rank_0_fails_all_do_and_the_work_is_saved(ranks, tmp_path):
    ranks(2, "evaluation_fails", tmp_path)
    texts = [p.read_text() for p in sorted(tmp_path.glob("rank*.txt"))]
    assert texts[0] == "ValueError: no validation today"
    assert texts[1].startswith("ParallelError: Trainer: rank 0 failed in evaluate: ValueError")
    assert (tmp_path / "run" / "last.safetensors").exists()
