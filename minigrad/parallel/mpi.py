"""Processes that `mpiexec` started, joined through mpi4py."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from ..backend import Array, get_num_threads, set_num_threads
from ..errors import ConfigError, ParallelError, missing_extra
from .group import Group, on_host

SPIN = 2e-4  # seconds of waiting before a process lets others compute


class MPI(Group):
    """The processes of an `mpiexec` run. Without `mpiexec` there is one.

    A process that raises an exception prints it and ends all of them; one that is killed ends them,
    too: `mpiexec` sees to that. One that hangs is noticed by the others after `timeout` seconds.
    GPU arrays go through host memory: for GPUs there is NCCL. Processes on one machine divide its
    cores among them (`mg.set_num_threads`), unless MINIGRAD_NUM_THREADS is set.

    Arguments:
        timeout: seconds that the others may be late.
        comm: an mpi4py communicator in place of `MPI.COMM_WORLD`.
    Raises: MissingExtraError without mpi4py and an MPI library; ConfigError for a bad timeout.
    """

    def __init__(self, timeout: float = 600.0, comm: Any = None) -> None:
        if not timeout > 0:
            raise ConfigError(f"MPI: timeout is a number of seconds > 0, got {timeout}")
        try:
            from mpi4py import MPI as mpi  # noqa: N811  (a module, not a constant)
        except (ImportError, RuntimeError) as error:  # RuntimeError: no MPI library is found
            raise missing_extra("mpi4py", extra="mpi") from error
        self._mpi = mpi
        self._comm = mpi.COMM_WORLD if comm is None else comm
        self.timeout = timeout
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self._hook: Callable[..., Any] | None = None
        if self.size > 1:
            self._hook, sys.excepthook = sys.excepthook, self._end_all
            self._divide_cores()

    def _divide_cores(self) -> None:
        """Processes on one machine share its cores, unless the environment says otherwise."""
        name = socket.gethostname()
        here = self.gather(name).count(name)
        if here > 1 and "MINIGRAD_NUM_THREADS" not in os.environ:
            set_num_threads(max(1, get_num_threads() // here))

    def all_reduce(self, array: Array) -> None:
        mpi = self._mpi
        self._in_place("all_reduce", array, lambda a: self._comm.Iallreduce(mpi.IN_PLACE, a))

    def broadcast(self, array: Array) -> None:
        self._in_place("broadcast", array, lambda a: self._comm.Ibcast(a, root=0))

    def gather(self, value: Any) -> list[Any]:
        if self.size == 1:
            return [value]
        self.barrier()  # with a time limit, which the collective itself has not
        return list(self._comm.allgather(value))

    def barrier(self) -> None:
        if self.size > 1:
            self._wait(self._comm.Ibarrier(), "barrier")

    def close(self) -> None:
        if self._hook is not None:
            sys.excepthook, self._hook = self._hook, None

    def _in_place(self, what: str, array: Array, begin: Callable[[Any], Any]) -> None:
        """Communicate the bytes of `array`; from a GPU through a copy on the host."""
        if self.size == 1:
            return
        with on_host(f"MPI: {what}", array) as host:
            known = host.dtype.char in "fdilqBbhH?"
            whole = host if known else host.astype(np.float32)  # 16-bit sums
            self._wait(begin(whole), what)
            if whole is not host:
                host[...] = whole

    def _wait(self, request: Any, what: str) -> None:
        """Until `request` is done; like MPI itself in a loop, but with an end."""
        began = now = time.perf_counter()
        while not request.Test():
            if now - began > SPIN:
                time.sleep(5e-5)
            now = time.perf_counter()
            if now - began > self.timeout:
                raise ParallelError(
                    f"MPI: rank {self.rank} of {self.size} waited {self.timeout:g} s for the "
                    f"others ({what}): a process hangs, has died, or took another way through the "
                    "program. If it may really take so long: start('mpi', timeout=…)"
                )

    def _end_all(
        self,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        """An exception that nobody caught: print it, and let no process wait for this one."""
        (self._hook or sys.__excepthook__)(kind, error, trace)
        sys.stderr.write(f"minigrad: rank {self.rank} of {self.size} failed; ending all ranks\n")
        sys.stderr.flush()
        time.sleep(0.2)  # until mpiexec has passed it on
        self._comm.Abort(130 if issubclass(kind, KeyboardInterrupt) else 1)
