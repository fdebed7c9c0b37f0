"""Threads of our own: few, long-lived, for independent halves of a step.

NumPy lets go of Python's lock while it computes, so two threads that work on half a batch each keep
two cores busy. A branch that no thread has begun is run by whoever waits for it. A fork inside a
branch runs in order, where it was called, as everything does with one thread.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from minigrad.backend.blas_threads import blas_threads, set_blas_threads
from minigrad.errors import ConfigError

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["branching", "forks", "get_num_threads", "in_branch", "run", "set_num_threads"]

Branch = Callable[[], Any]


class _Pool:
    """The threads beside the one that forks; made at the first fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads: int | None = None  # none yet: the cores that this process may use
        self.executor: ThreadPoolExecutor | None = None

    def size(self) -> int:
        if self.threads is None:
            self.threads = _from_environment() or _cores()
        return self.threads

    def resize(self, threads: int) -> None:
        with self.lock:
            self.threads, old, self.executor = threads, self.executor, None
        if old is not None:
            old.shutdown(wait=False)

    def submit(self, branch: Branch) -> Future[Any]:
        with self.lock:
            if self.executor is None:
                from concurrent.futures import ThreadPoolExecutor  # slow to import

                workers = max(1, self.size() - 1)
                self.executor = ThreadPoolExecutor(workers, thread_name_prefix="minigrad")
            return self.executor.submit(copy_context().run, branch)

    def forget(self) -> None:
        """In a process forked from this one: its threads stayed behind."""
        self.lock, self.executor = threading.Lock(), None


def _cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _from_environment() -> int:
    text = os.environ.get("MINIGRAD_NUM_THREADS", "")
    if text and not (text.isdecimal() and int(text)):
        raise ConfigError(f"MINIGRAD_NUM_THREADS is {text!r}, expected an integer >= 1")
    return int(text or 0)


class _Quick:
    """While entered, by any thread, Python's lock changes hands quickly.

    A thread that comes back from NumPy waits for the lock up to `sys.getswitchinterval()`: 5 ms,
    where a step of a recurrent layer takes 0.05.
    """

    seconds = 1e-4

    def __init__(self) -> None:
        self.lock, self.entered, self.before = threading.Lock(), 0, 0.0

    def __enter__(self) -> None:
        with self.lock:
            if not self.entered:
                self.before = sys.getswitchinterval()
                sys.setswitchinterval(min(self.seconds, self.before))
            self.entered += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.entered -= 1
            if not self.entered:
                sys.setswitchinterval(self.before)


_QUICK = _Quick()
_POOL = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.forget)


def set_num_threads(n: int) -> None:
    """Use `n` threads: for branches that run side by side, and for large products in BLAS.

    1 runs everything in order. The default is the number of cores that the process may use, or
    what the environment variable MINIGRAD_NUM_THREADS says.

    Raises: ConfigError unless n is an integer ≥ 1.

    >>> import minigrad as mg
    >>> before = mg.get_num_threads()
    >>> mg.set_num_threads(1)
    >>> mg.get_num_threads()
    1
    >>> mg.set_num_threads(before)
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ConfigError(f"set_num_threads: expected an integer >= 1, got {n!r}")
    if n != _POOL.size():
        _POOL.resize(n)
    set_blas_threads(n)


def get_num_threads() -> int:
    """How many threads minigrad uses; see `set_num_threads`."""
    return _POOL.size()


_IN_BRANCH: ContextVar[bool] = ContextVar("minigrad.in_branch", default=False)


@contextmanager
def branching() -> Iterator[None]:
    """While entered, this context is that of the branches of a fork."""
    token = _IN_BRANCH.set(True)
    try:
        yield
    finally:
        _IN_BRANCH.reset(token)


def in_branch() -> bool:
    """Whether this is called in a branch of a fork."""
    return _IN_BRANCH.get()


def forks() -> bool:
    """Whether a fork would run its branches side by side here."""
    return get_num_threads() > 1 and not in_branch()


def run(branches: Sequence[Branch]) -> list[Any]:
    """The results of independent functions, each in a copy of this context, in their order.

    All of them have ended when this returns or raises. BLAS uses one thread per branch meanwhile.
    If some raise, the first in order is raised; the others stand in its notes.
    """
    if len(branches) < 2 or not forks():
        return [copy_context().run(branch) for branch in branches]
    with blas_threads(1), _QUICK, branching():
        futures = [_POOL.submit(branch) for branch in branches[1:]]
        results = [_attempt(branches[0])]
        for branch, future in zip(reversed(branches), reversed(futures), strict=False):
            # Threads begin at the front: from the back, this one takes what nobody has begun.
            results.insert(1, _attempt(branch if future.cancel() else future.result))
    errors = [error for _, error in results if error is not None]
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"another branch raised {type(other).__name__}: {other}")
        raise errors[0]
    return [value for value, _ in results]


def _attempt(branch: Branch) -> tuple[Any, BaseException | None]:
    try:
        return copy_context().run(branch), None
    except BaseException as error:  # noqa: BLE001  raised when the other branches have ended
        return None, error
