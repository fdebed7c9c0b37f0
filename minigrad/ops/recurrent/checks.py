"""What the arguments of a recurrent op must look like, and what to say when they do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import Array, device_of
from ...engine import Tensor, examine, recording
from ...errors import DeviceError, DTypeError, ShapeError
from ._schedule import Lengths


def check(
    op: str,
    gates: int,
    x: Array,
    states: dict[str, Array],
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    lengths: Any,
    w_hr: Array | None = None,
) -> Lengths:
    """Raise if shapes or dtypes do not fit each other; return the lengths as a tuple or None."""
    if x.ndim != 3:
        raise ShapeError(f"{op}: x has shape {x.shape}, expected (T, B, features)")
    if w_ih.ndim != 2 or w_hh.ndim != 2 or w_ih.shape[0] % gates:
        raise ShapeError(
            f"{op}: w_ih has shape {w_ih.shape}, w_hh {w_hh.shape}; "
            f"expected ({gates} · hidden, features) and ({gates} · hidden, hidden)"
        )
    T, B, features = x.shape
    hidden = w_ih.shape[0] // gates
    out = hidden if w_hr is None else w_hr.shape[0]
    if w_ih.shape[1] != features:
        raise ShapeError(
            f"{op}: x has {features} features, w_ih expects {w_ih.shape[1]}; x is (T, B, features)"
        )
    expected = {
        "w_hh": (w_hh, (gates * hidden, out)),
        "b_ih": (b_ih, (gates * hidden,)),
        "b_hh": (b_hh, (gates * hidden,)),
        "w_hr": (w_hr, (out, hidden)),
    }
    for name, state in states.items():
        expected[name] = state, (B, hidden if name == "c0" else out)
    for name, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise ShapeError(
                f"{op}: {name} has shape {array.shape}, expected {shape}; x is (T, B, features) = "
                f"{x.shape}, w_ih {w_ih.shape} says {hidden} hidden units"
            )
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: x is {x.dtype}, expected a floating dtype; cast it with .astype")
    for name, (array, _) in {"w_ih": (w_ih, None), **expected}.items():
        if array is not None and array.dtype != x.dtype:
            raise DTypeError(
                f"{op}: x is {x.dtype}, {name} is {array.dtype}; give all arguments one dtype"
            )
    return as_lengths(op, lengths, T, B)


def as_lengths(name: str, lengths: Any, T: int, B: int) -> Lengths:
    """`lengths`, given as a list, a NumPy array or a Tensor on the CPU, as a tuple of B ints."""
    if lengths is None:
        return None
    if isinstance(lengths, Tensor):
        lengths = lengths.data
    if not isinstance(lengths, tuple | list | np.ndarray):
        if recording() and device_of(lengths).kind == "cpu":
            return lengths  # of an input: each replay looks at its own
        where = device_of(lengths)
        raise DeviceError(
            f"{name}: lengths are on {where}; give them as a list or on the CPU: they decide, on "
            "the host, which steps are computed. A step that mg.compile captures takes a tuple"
        )
    host = np.asarray(lengths)
    _check_lengths(name, host, T, B)
    return tuple(host.tolist())


def length_array(name: str, lengths: Any, T: int, B: int) -> Any:
    """`lengths` as an array of B integers on the host, or None: for code that makes masks of them.

    Those of a program's input are looked at in each replay.
    """
    lengths = as_lengths(name, lengths, T, B)
    if isinstance(lengths, tuple):
        return np.array(lengths, dtype=np.int64)
    if lengths is not None:
        examine(_check_lengths, name, lengths, T, B)
    return lengths


def _check_lengths(name: str, lengths: Array, T: int, B: int) -> None:
    if lengths.shape != (B,):
        raise ShapeError(
            f"{name}: lengths have shape {lengths.shape}, expected ({B},): one per sequence"
        )
    if lengths.dtype.kind not in "iu" and B:
        raise DTypeError(f"{name}: lengths are {lengths.dtype}, expected integers")
    for b in np.flatnonzero((lengths < 0) | (lengths > T)):
        raise ShapeError(f"{name}: lengths[{b}] is {lengths[b]}, expected 0 … {T}: x has {T} steps")
