"""Which memory NumPy asks for: every array's data, by an allocator that writes it down.

`PyDataMem_SetHandler` of NumPy's C API, reached by ctypes. Arrays remember who gave them memory, so
the allocator lives as long as the process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_SIZES: list[int] = []
_SIZE, _POINTER = ctypes.c_size_t, ctypes.c_void_p
_LIBC, _PYTHON = ctypes.CDLL(None), ctypes.pythonapi
_SET_HANDLER = 304  # its place in the table of NumPy's C API, which never changes
for _name, _types in {
    "malloc": [_SIZE],
    "calloc": [_SIZE, _SIZE],
    "realloc": [_POINTER, _SIZE],
    "free": [_POINTER],
}.items():
    getattr(_LIBC, _name).argtypes, getattr(_LIBC, _name).restype = _types, _POINTER


@ctypes.CFUNCTYPE(_POINTER, _POINTER, _SIZE)
def _malloc(_context, size):
    _SIZES.append(size)
    return _LIBC.malloc(size)


@ctypes.CFUNCTYPE(_POINTER, _POINTER, _SIZE, _SIZE)
def _calloc(_context, count, size):
    _SIZES.append(count * size)
    return _LIBC.calloc(count, size)


@ctypes.CFUNCTYPE(_POINTER, _POINTER, _POINTER, _SIZE)
def _realloc(_context, old, size):
    _SIZES.append(size)
    return _LIBC.realloc(old, size)


@ctypes.CFUNCTYPE(None, _POINTER, _POINTER, _SIZE)
def _free(_context, old, _size):
    _LIBC.free(old)


class _Handler(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", _POINTER),
        ("malloc", type(_malloc)),
        ("calloc", type(_calloc)),
        ("realloc", type(_realloc)),
        ("free", type(_free)),
    ]


_NAME = ctypes.create_string_buffer(b"mem_handler")  # a capsule does not copy its name
_HANDLER = _Handler(b"counted", 1, None, _malloc, _calloc, _realloc, _free)
_PYTHON.PyCapsule_New.restype = ctypes.py_object
_PYTHON.PyCapsule_New.argtypes = [_POINTER, _POINTER, _POINTER]
_PYTHON.PyCapsule_GetPointer.restype = _POINTER
_PYTHON.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_COUNTED = _PYTHON.PyCapsule_New(ctypes.addressof(_HANDLER), ctypes.addressof(_NAME), None)
_TABLE = ctypes.cast(
    _PYTHON.PyCapsule_GetPointer(np._core._multiarray_umath._ARRAY_API, None),
    ctypes.POINTER(_POINTER),
)
_set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(_TABLE[_SET_HANDLER])


@contextmanager
def allocations() -> Iterator[list[int]]:
    """The sizes in bytes of what arrays of this thread ask for inside, as a list that fills."""
    _SIZES.clear()
    before = _set_handler(_COUNTED)
    try:
        yield _SIZES
    finally:
        _set_handler(before)
