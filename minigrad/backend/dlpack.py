"""Arrays of other libraries, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend.device import Array, device
from minigrad.errors import DeviceError

_HOST, _CUDA, _CUDA_HOST, _CUDA_MANAGED = 1, 2, 3, 13  # DLDeviceType


def from_dlpack(obj: Any) -> Array:
    """The array that `obj` holds, sharing its memory, on the device where it is.

    `obj` is whatever speaks DLPack: a PyTorch tensor, a JAX, NumPy or CuPy array. What the producer
    declares read-only stays so.

    Raises: DeviceError if `obj` does not speak DLPack, is on a device minigrad has no array library
    for, or refuses to be shared.
    """
    if not hasattr(obj, "__dlpack__") or not hasattr(obj, "__dlpack_device__"):
        raise DeviceError(
            f"from_dlpack: {type(obj).__name__} does not speak DLPack (it has no __dlpack__); "
            "numbers, lists and NumPy arrays go through mg.asarray"
        )
    kind, index = obj.__dlpack_device__()
    try:
        if kind in (_HOST, _CUDA_HOST):
            return np.from_dlpack(obj)
        if kind in (_CUDA, _CUDA_MANAGED):
            there = device(f"cuda:{index}")
            with there.activate():
                return there.xp.from_dlpack(obj)
    except (BufferError, TypeError, RuntimeError) as error:
        if isinstance(error, DeviceError):
            raise
        raise DeviceError(
            f"from_dlpack: {type(obj).__name__} cannot be shared: {error}. A tensor that requires "
            "grad is detached first; bfloat16 is cast first"
        ) from error
    raise DeviceError(
        f"from_dlpack: {type(obj).__name__} is on a device of DLPack type {int(kind)}; minigrad "
        "takes CPU (1) and CUDA (2) memory"
    )
