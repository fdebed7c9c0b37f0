"""GPUs, one process for each, joined through NCCL.

What is large and on a GPU goes from GPU to GPU, in the order of the current stream and without the
host waiting for it, so an all-reduce can be part of a captured step. What is small and on the host
(numbers, states, the id by which the processes find each other) goes through MPI.
"""

from __future__ import annotations

import socket
import warnings
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import ConfigError, DeviceError, DTypeError, missing_extra
from .group import Group

_TYPES = {
    "float16": "NCCL_FLOAT16",
    "float32": "NCCL_FLOAT32",
    "float64": "NCCL_FLOAT64",
    "int8": "NCCL_INT8",
    "uint8": "NCCL_UINT8",
    "int32": "NCCL_INT32",
    "uint32": "NCCL_UINT32",
    "int64": "NCCL_INT64",
    "uint64": "NCCL_UINT64",
    "bool": "NCCL_UINT8",
    "bfloat16": "NCCL_BFLOAT16",
}


class NCCL(Group):
    """A process for each GPU; start them with `mpiexec`. Without it there is one.

        group = mg.parallel.start("nccl")
        with mg.use_device(group.device): …

    Attributes:
        device: the name of this process's GPU: the n-th process of a machine has its n-th.

    Arguments:
        host: the Group for what is on the host; by default MPI, where mpi4py is installed.
        timeout: of MPI; see there.
    Raises: MissingExtraError without CuPy or NCCL; DeviceError for more processes than GPUs.
    Not run on hardware so far: a stand-in for NCCL checks the calls.
    """

    def __init__(self, host: Group | None = None, timeout: float = 600.0) -> None:
        try:
            import cupy

            with warnings.catch_warnings():  # that NCCL is missing; below it is said
                warnings.simplefilter("ignore")
                from cupy.cuda import nccl
        except ImportError as error:
            raise missing_extra("cupy", extra="cuda13,nccl") from error
        if not nccl.available:
            raise missing_extra("nvidia-nccl-cu13", extra="cuda13,nccl")
        self._cupy, self._nccl = cupy, nccl
        self.host = _host(timeout) if host is None else host
        self.rank, self.size = self.host.rank, self.host.size
        index = self._index()
        self.device = f"cuda:{index}"
        self._gpu = cupy.cuda.Device(index)
        unique = self.host.share(nccl.get_unique_id() if self.main else None)
        with self._gpu:
            self._communicator = nccl.NcclCommunicator(self.size, unique, self.rank)

    def _index(self) -> int:
        """Which GPU of its machine is this process's."""
        name = socket.gethostname()
        index = self.host.gather(name)[: self.rank].count(name)
        count = int(self._cupy.cuda.runtime.getDeviceCount())
        if index >= count:
            raise DeviceError(
                f"NCCL: process {index + 1} on {name}, which has {count} GPUs: one process for "
                "each; start fewer with mpiexec -n"
            )
        return index

    def all_reduce(self, array: Array) -> None:
        if type(array) is np.ndarray:
            return self.host.all_reduce(array)
        at, kind = self._at(array), self._type(array)
        with self._gpu:
            self._communicator.allReduce(
                at, at, array.size, kind, self._nccl.NCCL_SUM, self._stream()
            )
        return None

    def broadcast(self, array: Array) -> None:
        if type(array) is np.ndarray:
            return self.host.broadcast(array)
        at, kind = self._at(array), self._type(array)
        with self._gpu:
            self._communicator.broadcast(at, at, array.size, kind, 0, self._stream())
        return None

    def gather(self, value: Any) -> list[Any]:
        return self.host.gather(value)

    def barrier(self) -> None:
        self._gpu.synchronize()
        self.host.barrier()

    def close(self) -> None:
        self._communicator.destroy()
        self.host.close()

    def ready(self, flat: Array) -> Array:
        return flat

    def _at(self, array: Array) -> int:
        """Where a contiguous array stands in the GPU's memory."""
        if not array.flags.c_contiguous:
            raise ConfigError("NCCL: an array that is communicated must be contiguous")
        return int(array.data.ptr)

    def _type(self, array: Array) -> int:
        name = _TYPES.get(array.dtype.name)
        if name is None or not hasattr(self._nccl, name):
            raise DTypeError(f"NCCL: knows no {array.dtype}; cast to float32")
        return int(getattr(self._nccl, name))

    def _stream(self) -> int:
        """The stream that work is on now: that of a capture, if there is one."""
        return int(self._cupy.cuda.get_current_stream().ptr)


def _host(timeout: float) -> Group:
    """MPI, or this process alone where there is none."""
    import importlib.util

    if importlib.util.find_spec("mpi4py") is None:
        return Group()
    from .mpi import MPI

    return MPI(timeout)
