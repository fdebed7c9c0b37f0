import os
import subprocess
import sys
import threading
from contextvars import ContextVar
from pathlib import Path

import pytest

import minigrad as mg
from minigrad import backend
from minigrad.backend import blas_threads as blas
from minigrad.backend import threads
from minigrad.backend.blas_threads import blas_threads, get_blas_threads, set_blas_threads
from minigrad.backend.random import Streams, streams_apart
from minigrad.engine import fork
from minigrad.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def four_threads():
    before, blas_before = mg.get_num_threads(), get_blas_threads()
    mg.set_num_threads(4)
    yield
    mg.set_num_threads(before)
    set_blas_threads(blas_before or 1)


needs_blas = pytest.mark.skipif(blas.library() is None, reason="a BLAS that cannot be asked")


def test_branches_run_side_by_side_and_give_their_results_in_order():
    both = threading.Barrier(3)

    def branch(i):
        both.wait(20)  # breaks unless all three run at once
        return i, threading.get_ident()

    results = fork(*(lambda i=i: branch(i) for i in range(3)))
    assert [i for i, _ in results] == [0, 1, 2]
    assert results[0][1] == threading.get_ident()
    assert len({thread for _, thread in results}) == 3


def test_one_thread_runs_everything_in_order_where_it_was_called():
    mg.set_num_threads(1)
    seen = []
    fork(*(lambda i=i: seen.append((i, threading.get_ident())) for i in range(5)))
    assert seen == [(i, threading.get_ident()) for i in range(5)]


def test_no_branches_and_more_branches_than_threads():
    assert fork() == []
    assert fork(*(lambda i=i: i * i for i in range(50))) == [i * i for i in range(50)]


@pytest.mark.parametrize("number", [1, 2, 4])
def test_forks_inside_forks_do_not_deadlock(number):
    mg.set_num_threads(number)

    def tree(depth):
        return sum(fork(*[lambda: tree(depth - 1)] * 3)) if depth else 1

    assert tree(5) == 3**5


def test_each_branch_has_a_copy_of_the_context():
    variable = ContextVar("variable", default=0)
    variable.set(7)

    def branch(i):
        before = variable.get()
        variable.set(i)
        return before, mg.is_grad_enabled()

    for number in (1, 4):
        mg.set_num_threads(number)
        with mg.no_grad():
            assert fork(lambda: branch(1), lambda: branch(2)) == [(7, False)] * 2
        assert variable.get() == 7


@pytest.mark.parametrize("number", [2, 4])
def test_an_exception_comes_when_all_branches_have_ended(number):
    mg.set_num_threads(number)
    ended, go = [], threading.Event()

    def slow():
        go.wait(20)
        ended.append("slow")

    def fails(text):
        go.set()
        raise ValueError(text)

    with pytest.raises(ValueError, match="one") as caught:
        fork(slow, lambda: fails("one"), lambda: fails("two")) if number > 2 else fork(
            lambda: fails("one"), slow, lambda: fails("two")
        )
    assert ended == ["slow"]
    assert caught.value.__notes__ == ["another branch raised ValueError: two"]


def test_settings_are_given_back_after_an_exception():
    interval, before = sys.getswitchinterval(), get_blas_threads()
    inside = []

    def fails():
        inside.append((sys.getswitchinterval(), get_blas_threads()))
        raise KeyError("x")

    with pytest.raises(KeyError):
        fork(fails, fails)
    assert (sys.getswitchinterval(), get_blas_threads()) == (interval, before)
    assert all(quick == pytest.approx(1e-4, abs=2e-6) for quick, _ in inside)
    assert {number for _, number in inside} <= {1, None}


@needs_blas
def test_limits_of_blas_nest_and_overlap():
    set_blas_threads(4)
    with blas_threads(2):
        assert get_blas_threads() == 2
        with blas_threads(3):
            assert get_blas_threads() == 2  # the smallest counts
        first, second = blas_threads(1), blas_threads(2)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)  # in another order, as threads do
        assert get_blas_threads() == 2
        second.__exit__(None, None, None)
    assert get_blas_threads() == 4
    with pytest.raises(ZeroDivisionError), blas_threads(1):
        raise ZeroDivisionError
    assert get_blas_threads() == 4


@needs_blas
def test_the_number_set_inside_a_limit_holds_after_it():
    set_blas_threads(4)
    with blas_threads(1):
        set_blas_threads(3)
        assert get_blas_threads() == 1
    assert get_blas_threads() == 3
    mg.set_num_threads(2)
    assert get_blas_threads() == 2


def test_where_blas_cannot_be_asked_nothing_is_limited(monkeypatch):
    monkeypatch.setattr(blas, "library", lambda: None)
    with blas_threads(1):
        assert get_blas_threads() is None
    set_blas_threads(3)
    mg.set_num_threads(3)
    assert mg.get_num_threads() == 3


def test_a_blas_without_known_symbols_is_none(monkeypatch):
    monkeypatch.setattr(blas, "_NAMES", [("no_such_symbol", "nor_this")])
    assert blas.library.__wrapped__() is None
    monkeypatch.setattr(blas.ctypes, "CDLL", lambda path: (_ for _ in ()).throw(OSError("gone")))
    assert blas.library.__wrapped__() is None


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2", None])
def test_a_number_of_threads_is_an_integer_from_one(wrong):
    with pytest.raises(ConfigError, match="set_num_threads"):
        mg.set_num_threads(wrong)


def test_the_environment_sets_the_default():
    def ask(value):
        code = "import minigrad as mg; print(mg.get_num_threads())"
        environment = {**os.environ, "MINIGRAD_NUM_THREADS": value}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    assert ask("3").stdout.strip() == "3"
    assert int(ask("").stdout) >= 1
    assert "MINIGRAD_NUM_THREADS is 'many'" in ask("many").stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_makes_its_own_threads():
    fork(lambda: 1, lambda: 2)  # the pool is there
    child = os.fork()
    if child == 0:
        os._exit(0 if fork(lambda: 1, lambda: 2, lambda: 3) == [1, 2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_streams_apart_are_seeded_read_and_restored_by_themselves():
    rng = backend.device("cpu").rng
    mg.manual_seed(1)
    outside = mg.get_rng_state()
    mine = Streams()
    mine.manual_seed(5)
    with streams_apart(mine):
        assert mg.device("cpu").rng is not rng
        state = mg.get_rng_state()
        a = mg.rand(4)
        mg.set_rng_state(state)
        assert mg.array_equal(mg.rand(4), a)
        mg.manual_seed(5)
        assert mg.array_equal(mg.rand(4), a)
    assert mg.device("cpu").rng is rng
    assert mg.get_rng_state() == outside
    assert threads.run([lambda: mg.device("cpu").rng]) == [rng]
