"""`parallel.run`: what is special about processes forked from this one, and how they end."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, parallel
from minigrad.backend.blas_threads import get_blas_threads, set_blas_threads
from minigrad.errors import ConfigError, ParallelError
from minigrad.parallel import forked
from tests.parallel import ranks as cases
from tests.parallel.launch import ROOT

SOON = 20.0  # seconds, on a busy machine
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture(autouse=True)
def _nobody_stays_behind():
    before = mg.get_num_threads(), get_blas_threads()
    mg.set_num_threads(4)
    set_blas_threads(3)
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert (mg.get_num_threads(), get_blas_threads() or 3) == (4, 3)
    mg.set_num_threads(before[0])
    set_blas_threads(before[1] or 1)


def test_what_there_was_is_there_and_the_result_is_rank_0s():
    rng, made = np.random.default_rng(0), []

    def main(group):
        made.append(group.rank)  # each in its own list
        return group.gather((group.rank, rng.integers(100), made)), group

    seen, group = parallel.run(main, processes=3)
    assert [rank for rank, _, _ in seen] == [0, 1, 2]
    assert len({number for _, number, _ in seen}) == 1
    assert [each for _, _, each in seen] == [[0], [1], [2]]
    assert made == [0]
    assert repr(group) == "Forked(rank 0 of 3)"


def test_as_many_as_threads_which_they_divide():
    assert parallel.run(lambda group: (group.size, mg.get_num_threads())) == (4, 1)
    assert parallel.run(lambda group: mg.get_num_threads(), processes=2) == 2
    assert parallel.run(type, processes=1) is parallel.Group


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i8"])
def test_arrays_longer_than_a_slot(monkeypatch, dtype):
    monkeypatch.setattr(forked, "CHUNK", 64)
    whole = np.arange(150).reshape(10, 15).astype(dtype)

    def main(group):
        mine, first = whole * (group.rank + 1), whole + group.rank
        group.all_reduce(mine)
        group.broadcast(first)
        return mine, first, group.gather("ab" * (1 + 99 * group.rank))

    total, first, texts = parallel.run(main, processes=3)
    np.testing.assert_array_equal(total, 6 * whole)
    np.testing.assert_array_equal(first, whole)
    assert total.dtype == whole.dtype
    assert texts == ["ab" * (1 + 99 * rank) for rank in range(3)]


def test_all_have_the_same_bits_in_each_run():
    values = np.random.default_rng(1).normal(size=(4, 1000)).astype("f4")

    def main(group):
        mine = values[group.rank].copy()
        group.all_reduce(mine)
        return group.gather(mine.tobytes())

    found = parallel.run(main, processes=4) + parallel.run(main, processes=4)
    assert len(set(found)) == 1


def test_arrays_of_the_strict_device_go_through_the_host():
    def main(group):
        with mg.use_device("strict"):
            w = mg.full(3, float(group.rank), requires_grad=True)
            group.synchronize([w])
            w.grad = mg.full(3, float(group.rank))
            group.average([w])
            return w.detach().numpy().tolist(), w.grad.numpy().tolist()

    assert parallel.run(main, processes=2) == ([0.0] * 3, [0.5] * 3)


def test_a_fork_after_threads_were_used():
    """Neither ours nor BLAS's are in the child, which has its own."""

    def work():
        a = mg.ones((400, 400), requires_grad=True)
        loss = parallel.backward(lambda x: (x @ a).mean(), (a.detach(),), axes=(0,), params=[a])
        return float(loss.item())

    right = work()
    for _ in range(3):
        found = parallel.run(lambda group: group.gather(work()), processes=2)
        assert found == pytest.approx([right] * 2)
    assert work() == right


def test_compiled_kernels_work_in_children(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("MINIGRAD_FAST", "1")

    def main(group):
        mg.manual_seed(0)
        lstm = nn.LSTM(3, 4)
        sgd = optim.SGD(lstm.parameters(), lr=0.1)
        for _ in range(2):
            sgd.zero_grad()
            lstm(mg.ones((5, 2, 3)))[0].sum().backward()
            group.average(sgd)
            sgd.step()
        return group.gather(lstm.weight_ih_l0.numpy().tobytes())

    assert len({*parallel.run(main, processes=2), *parallel.run(main, processes=1)}) == 1


def test_a_child_prints_once_and_leaves_nothing_to_the_end(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, minigrad as mg\n"
        "atexit.register(print, 'the end')\n"
        "print('before')\n"
        "mg.parallel.run(lambda group: print(f'rank {group.rank}\\n', end=''), processes=2)\n"
        "print('after')\n"
    )
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert sorted(done.stdout.split("\n")) == sorted(
        ["before", "rank 0", "rank 1", "after", "the end", ""]
    )
    assert done.stderr == ""


# -- failures ------------------------------------------------------------------------------------


def test_an_exception_in_a_child_is_told_with_its_rank(tmp_path):
    began = time.monotonic()
    with pytest.raises(ParallelError) as caught:
        parallel.run(lambda group: cases.raises(group, tmp_path), processes=3)
    text = str(caught.value)
    assert text.startswith("parallel.run: on rank 0 of 3: rank 1 failed: Traceback")
    assert "ZeroDivisionError: rank 1 has had enough" in text
    assert time.monotonic() - began < SOON


def test_an_exception_here_ends_the_others():
    began = time.monotonic()

    def main(group):
        if group.main:
            raise KeyError("here")
        group.barrier()

    with pytest.raises(KeyError, match="here"):
        parallel.run(main, processes=3)
    assert time.monotonic() - began < SOON


def test_a_killed_child_is_noticed(tmp_path):
    with pytest.raises(ParallelError, match="rank 1 failed: killed by signal 9"):
        parallel.run(lambda group: cases.killed(group, tmp_path), processes=2)


def test_one_that_hangs_is_noticed_and_killed(tmp_path):
    began = time.monotonic()
    with pytest.raises(ParallelError, match=r"it waited 1 s for the others \(all_reduce\)"):
        parallel.run(lambda group: cases.hangs(group, tmp_path), processes=2)
    assert time.monotonic() - began < SOON


def test_one_that_does_not_come_to_the_end_is_noticed():
    def main(group):
        if not group.main:
            time.sleep(60)

    with pytest.raises(ParallelError, match=r"it waited 0.2 s for the others \(the end of main\)"):
        parallel.run(main, processes=2, timeout=0.2)


@pytest.mark.parametrize("early", [0, 1])
def test_one_that_ends_too_early_is_noticed(monkeypatch, early):
    monkeypatch.setattr(forked, "GRACE", 0.2)

    def main(group):
        if group.rank != early:
            group.barrier()

    gone = rf"waits for the others \(barrier\), but main has ended on {early}"
    with pytest.raises(ParallelError, match=gone):
        parallel.run(main, processes=2)


def test_different_ways_through_the_program_are_noticed():
    def main(group):
        group.all_reduce(np.zeros(3 + group.rank))

    with pytest.raises(
        ParallelError, match=r"different ways .* all_reduce of 24 bytes, all_reduce of 32 bytes"
    ):
        parallel.run(main, processes=2)


def test_a_failed_group_fails_at_once_when_it_is_used_again():
    def main(group):
        if not group.main:
            raise ValueError("once")
        try:
            group.barrier()
        finally:
            group.gather(1)  # what cleans up must not wait for the dead

    began = time.monotonic()
    with pytest.raises(ParallelError, match="ValueError: once"):
        parallel.run(main, processes=2)
    assert time.monotonic() - began < SOON


def test_children_end_when_their_parent_is_killed(tmp_path):
    """Seen from outside: rank 0 dies by a signal that it cannot handle."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, signal, minigrad as mg\n"
        "def main(group):\n"
        "    os.write(1, b'x')\n"
        "    group.barrier()\n"
        "    if group.main: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    group.barrier()\n"
        "mg.parallel.run(main, processes=3)\n"
    )
    done = subprocess.run(  # returns when the last of them has closed its end of stdout
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "xxx"


def test_an_interrupt_of_all_is_an_interrupt_here():
    def main(group):
        processes = group.gather(os.getpid())
        if group.main:
            for process in reversed(processes):
                os.kill(process, signal.SIGINT)
        group.barrier()

    with pytest.raises(KeyboardInterrupt):
        parallel.run(main, processes=3)


def test_no_process_stays_behind_where_not_all_can_be_started(monkeypatch):
    fork, started = os.fork, []

    def one_only():
        if started:
            raise BlockingIOError("no more processes")
        started.append(fork())
        return started[0]

    monkeypatch.setattr(os, "fork", one_only)
    with pytest.raises(BlockingIOError):
        parallel.run(lambda group: group.barrier(), processes=3)


def test_run_from_a_thread():
    found = []
    work = threading.Thread(
        target=lambda: found.append(parallel.run(lambda group: group.sums(1), processes=2))
    )
    work.start()
    work.join()
    assert found == [[2.0]]


# -- what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [0, -1, 1.5, True, "2"])
def test_a_bad_number_of_processes_is_refused(processes):
    with pytest.raises(ConfigError, match="processes is an integer >= 1"):
        parallel.run(print, processes=processes)


def test_a_bad_timeout_is_refused():
    with pytest.raises(ConfigError, match="timeout is a number of seconds > 0"):
        parallel.run(print, processes=2, timeout=0)


def test_a_system_without_fork_is_told_of_the_other_ways(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(ConfigError, match="cannot fork a process; parallel"):
        parallel.run(print, processes=2)


def test_a_gpu_in_use_is_refused(monkeypatch):
    monkeypatch.setattr(forked, "in_use", lambda kind: kind == "cuda")
    with pytest.raises(ConfigError, match="a GPU is in use"):
        parallel.run(print, processes=2)


def test_an_array_with_gaps_is_refused():
    with pytest.raises(ConfigError, match="all_reduce: the array must be contiguous"):
        parallel.run(lambda group: group.all_reduce(np.zeros((4, 4)).T[1:]), processes=2)
