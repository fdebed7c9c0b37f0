"""Processes forked from this one, which train together through memory that they share."""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NoReturn, TypeVar

import numpy as np

from ..backend import Array, get_num_threads, set_num_threads
from ..backend.blas_threads import get_blas_threads, set_blas_threads
from ..backend.device import in_use
from ..errors import ConfigError, ParallelError
from .group import Group, on_host
from .pieces import bounds

CHUNK = 1 << 22  # bytes that each process gives at once
WORDS = 1 << 14  # bytes for what a process says when it fails
SPIN = 1e-3  # seconds of asking again and again, before a process sleeps until it is woken
LOOK = 0.05  # seconds of sleep between two looks at whether the others live
GRACE = 3.0  # seconds that the others have to come, or to end, when one has ended
RUNNING, DONE, FAILED = range(3)
KINDS = ("all_reduce", "broadcast", "gather", "barrier")

T = TypeVar("T")


def run(main: Callable[[Group], T], processes: int | None = None, timeout: float = 600.0) -> T:
    """`main(group)` in this process and in others that are forked from it; what it returns here.

    Everything made before is there in all of them, without a copy: data, the model, this function.
    What they change belongs to each alone; `main` joins it through its group. This process is rank
    0; the others end with `main`, or with this process. They write to its output, and divide its
    threads among them (`mg.set_num_threads`).

    Args:
        main: called with a `Group`.
        processes: how many, by default `mg.get_num_threads()`: the number of cores. With 1, nothing
            is forked.
        timeout: seconds that the others may be late.

    Raises: ParallelError if another process fails, is killed, ends too early or is late; then all
        of them end. ConfigError where processes cannot be forked: on Windows, or when a GPU is
        already in use, which does not survive a fork.

    >>> import minigrad as mg
    >>> mg.parallel.run(lambda group: group.gather(group.rank), processes=2)
    [0, 1]
    """
    processes = get_num_threads() if processes is None else processes
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise ConfigError(f"parallel.run: processes is an integer >= 1, got {processes!r}")
    if not timeout > 0:
        raise ConfigError(f"parallel.run: timeout is a number of seconds > 0, got {timeout}")
    if processes == 1:
        return main(Group())
    if not hasattr(os, "fork"):
        raise ConfigError(
            f"parallel.run: {sys.platform} cannot fork a process; parallel.backward has threads, "
            "and start('mpi') the processes of mpiexec"
        )
    if in_use("cuda"):
        raise ConfigError(
            "parallel.run: a GPU is in use, and does not survive a fork; for GPUs: start('nccl')"
        )
    threads, blas = get_num_threads(), get_blas_threads()
    set_num_threads(max(1, threads // processes))
    try:
        return Forked(processes, timeout).lead(main)
    finally:
        set_num_threads(threads)
        set_blas_threads(blas or 1)  # the environment may say that it has another number


class Forked(Group):
    """The processes of a `run`: this one, which is rank 0, and those that it forks.

    Each has a slot of shared memory. What is summed or gathered is copied there; when all have
    come, each reads the slots of all, in the order of ranks, so all get the same bits, in each run.
    Of more than two, each sums up a share, for all. There are two sets of slots, in turn: who is
    quick may write while others still read.
    """

    def __init__(self, size: int, timeout: float) -> None:
        from multiprocessing import get_context

        self.size, self.timeout = size, timeout
        memory = mmap.mmap(-1, 2 * size * CHUNK + size * WORDS + 3 * size * 8)
        end = 2 * size * CHUNK
        self._slots = np.frombuffer(memory, np.uint8, end).reshape(2, size, CHUNK)
        self._words = np.frombuffer(memory, np.uint8, size * WORDS, end).reshape(size, WORDS)
        numbers = np.frombuffer(memory, np.int64, 3 * size, end + size * WORDS).reshape(3, size)
        self._given, self._states = numbers[:2], numbers[2]
        self._turn = 0
        # Round k: a token goes from each rank to the one 2ᵏ after it. When a process has had all of
        # its tokens, all others have come. A semaphore also orders memory.
        new, distances = get_context("fork").Semaphore, [1 << k for k in range(size.bit_length())]
        self._rounds = [(d, [new(0) for _ in range(size)]) for d in distances if d < size]
        self._parent, self._children = os.getpid(), dict[int, int]()  # rank → process
        self._failure = ""

    # -- communication ---------------------------------------------------------------------------

    def all_reduce(self, array: Array) -> None:
        with on_host("parallel.run: all_reduce", array) as flat:
            for part in _chunks(flat):
                first, *others = self._exchange("all_reduce", part)
                if self.size == 2:
                    np.add(first, others[0], out=part)
                    continue
                share = slice(*bounds(part.size, self.size)[self.rank])
                for other in others:
                    first[share] += other[share]
                self._meet("all_reduce")
                part[...] = first

    def broadcast(self, array: Array) -> None:
        with on_host("parallel.run: broadcast", array) as flat:
            for part in _chunks(flat):
                part[...] = self._exchange("broadcast", part)[0]

    def gather(self, value: Any) -> list[Any]:
        message = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        lengths = [int(n[0]) for n in self._exchange("gather", np.array([len(message)]))]
        mine = np.zeros(max(lengths), np.uint8)
        mine[: len(message)] = np.frombuffer(message, np.uint8)
        found = [bytearray() for _ in lengths]
        for chunk in _chunks(mine):
            for whole, part in zip(found, self._exchange("gather", chunk), strict=True):
                whole += part.data
        return [pickle.loads(whole) for whole in found]  # noqa: S301  (our own processes wrote it)

    def barrier(self) -> None:
        self._exchange("barrier", np.empty(0, np.uint8))

    def _exchange(self, kind: str, mine: Array) -> list[Array]:
        """What each process gives, a chunk at most; it stays so until the exchange after next."""
        if self._failure:
            self._fail(self._failure)
        self._turn ^= 1
        n, given = mine.nbytes, self._given[self._turn]
        slots = [slot[:n].view(mine.dtype) for slot in self._slots[self._turn]]
        slots[self.rank][...] = mine
        code = len(KINDS) * n + KINDS.index(kind)
        given[self.rank] = code
        self._meet(kind)
        if given.tolist() != [code] * self.size:
            told = (divmod(int(code), len(KINDS)) for code in given)
            what = ", ".join(f"{KINDS[k]} of {n} bytes" for n, k in told)
            self._fail(f"the processes take different ways through the program: {what} (by rank)")
        return slots

    # -- waiting ---------------------------------------------------------------------------------

    def _meet(self, what: str) -> None:
        """Return when all have come."""
        for distance, tokens in self._rounds:
            tokens[(self.rank + distance) % self.size].release()
            self._wait(what, tokens[self.rank].acquire)

    def _wait(self, what: str, acquire: Callable[..., bool]) -> None:
        """Until there is a token: at first awake, since the others are about as quick."""
        began = perf_counter()
        while perf_counter() - began < SPIN:
            if acquire(False):
                return
            os.sched_yield()
        limit = began + self.timeout
        while not acquire(True, LOOK):
            self._look()
            if self._states.any():
                limit = min(limit, perf_counter() + GRACE)
            if perf_counter() > limit:
                self._late(what)

    def _look(self) -> None:
        """Raise where it is in vain to wait."""
        if self.rank:
            if self._states[0] == FAILED or os.getppid() != self._parent:
                self._fail("rank 0 has failed, or was killed")
            return
        for rank, code in self._reap():
            if code:
                said = bytes(self._words[rank]).rstrip(b"\0").decode(errors="replace")
                if code < 0:
                    said = f"killed by signal {-code} ({signal.strsignal(-code)})"
                self._fail(f"rank {rank} failed: {said or f'exit({code})'}")

    def _reap(self) -> list[tuple[int, int]]:
        """Those that have ended since the last look: rank and exit status."""
        found = []
        for rank, child in list(self._children.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del self._children[rank]
                found.append((rank, os.waitstatus_to_exitcode(status)))
        return found

    def _late(self, what: str) -> NoReturn:
        """Tell why the others do not come."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        gone = [str(rank) for rank in others if self._states[rank] == DONE]
        if gone:
            self._fail(f"it waits for the others ({what}), but main has ended on {', '.join(gone)}")
        self._fail(
            f"it waited {self.timeout:g} s for the others ({what}): a process hangs. If it may "
            "really take so long: run(…, timeout=…)"
        )

    def _fail(self, why: str) -> NoReturn:
        """Raise, now and whenever this group is used again: by what cleans up, say."""
        self._failure = why
        raise ParallelError(f"parallel.run: on rank {self.rank} of {self.size}: {why}")

    # -- birth and death -------------------------------------------------------------------------

    def lead(self, main: Callable[[Group], T]) -> T:
        """`main` of rank 0, and the others' beginning and end."""
        sys.stdout.flush()
        sys.stderr.flush()  # else each would write it again
        try:
            for rank in range(1, self.size):
                with warnings.catch_warnings():  # of threads: ours and BLAS's know of forks
                    warnings.simplefilter("ignore", DeprecationWarning)
                    child = os.fork()
                if not child:
                    self._follow(main, rank)
                self._children[rank] = child
            result = main(self)
            self._states[0] = DONE
            limit = perf_counter() + self.timeout
            while self._children:
                self._look()
                if perf_counter() > limit:
                    self._late("the end of main")
                time.sleep(1e-3)
        except BaseException:
            self._states[0] = FAILED
            raise
        else:
            return result
        finally:
            self._end()

    def _follow(self, main: Callable[[Group], Any], rank: int) -> NoReturn:
        """`main` in a child, which never leaves this function: what follows is rank 0's."""
        code = 1
        try:
            self.rank = rank
            self._children.clear()  # they are its siblings
            main(self)
            self._states[rank] = DONE
            code = 0
        except BaseException:  # noqa: BLE001  (rank 0 tells of it)
            said = traceback.format_exc().encode()[-WORDS:]
            self._words[rank, : len(said)] = np.frombuffer(said, np.uint8)
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _end(self) -> None:
        """Let no process stay behind: they have a few seconds to end by themselves."""
        if os.getpid() != self._parent:
            os._exit(1)  # interrupted while it was born
        try:
            limit = perf_counter() + GRACE
            while self._children and perf_counter() < limit:
                self._reap()
                time.sleep(1e-3)
        finally:
            for child in self._children.values():
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _chunks(flat: Array) -> Iterator[Array]:
    """What fits into a slot, piece by piece."""
    step = CHUNK // flat.itemsize
    for start in range(0, flat.size, step):
        yield flat[start : start + step]
