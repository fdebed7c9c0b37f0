"""The names of the standard, as array_api_strict has them for version 2024.12."""

from __future__ import annotations

import inspect

import array_api_strict as strict

VERSION = "2024.12"
COMPLEX = {"complex64", "complex128", "conj", "imag", "real"}
LATER = {"broadcast_shapes", "isin"}  # of version 2025.12
FLAGS = {
    "ArrayAPIStrictFlags", "Device", "get_array_api_strict_flags", "reset_array_api_strict_flags",
    "set_array_api_strict_flags",
}  # fmt: skip


def names():
    """All names, those of the extension with `linalg.` in front; no complex numbers, no fft."""
    own = set(strict.__all__) - COMPLEX - LATER - FLAGS - {"fft", "linalg"}
    own = {n for n in own if not n.startswith("__") or n == "__array_namespace_info__"}
    return sorted(own) + sorted(f"linalg.{n}" for n in strict.linalg.__all__)


def find(namespace, name):
    """The object of that name."""
    for part in name.split("."):
        namespace = getattr(namespace, part)
    return namespace


def functions():
    """The names of functions."""
    found = [(n, find(strict, n)) for n in names()]
    found = [(n, f) for n, f in found if callable(f) and not inspect.isclass(f)]
    return [n for n, f in found if not hasattr(f, "_np_dtype")]
