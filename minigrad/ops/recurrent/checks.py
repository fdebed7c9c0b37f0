"""What the arguments of a recurrent op must look like, and what to say when they do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import Array, Device, device_of, namespace
from ...engine import Tensor, examine
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
    lengths = as_lengths(op, lengths, T, B)
    if on_device(lengths):
        raise DeviceError(
            f"{op}: lengths are on {device_of(lengths)}; give them as a list or on the CPU: they "
            "decide, on the host, which steps are computed. The layer takes both, nn.LSTM say"
        )
    return lengths


def on_device(lengths: Any) -> bool:
    """Whether `lengths` of `as_lengths` are on a device, so that the host does not know them."""
    if lengths is None or isinstance(lengths, tuple):
        return False
    return device_of(lengths).kind != "cpu"


def as_lengths(name: str, lengths: Any, T: int, B: int) -> Any:
    """`lengths`, given as a list, a NumPy array or a Tensor on the CPU, as a tuple of B ints.

    Those on a device stay an array of it, and so do those of a program's input, where each replay
    looks at its own.
    """
    if lengths is None:
        return None
    if isinstance(lengths, Tensor):
        lengths = lengths.data
    if hasattr(lengths, "dtype") and not isinstance(lengths, np.ndarray):
        _check_shape(name, lengths, B)
        return lengths
    host = np.asarray(lengths)
    _check_lengths(name, host, T, B)
    return tuple(host.tolist())


def length_array(name: str, lengths: Any, T: int, B: int) -> Any:
    """`lengths` as an array of B integers, or None: for code that makes masks of them.

    They are on the host, and those of a program's input are looked at in each replay; or they are
    on the device, where the host would have to wait for a look.
    """
    lengths = as_lengths(name, lengths, T, B)
    if isinstance(lengths, tuple):
        return np.array(lengths, dtype=np.int64)
    if lengths is not None and not on_device(lengths):
        examine(_check_lengths, name, lengths, T, B)
    return lengths


def exists(lengths: Array, T: int, device: Device) -> Array:
    """(T, B) on `device`, True where a step exists; lengths (B,) of `length_array`."""
    return device.asarray(namespace(lengths).arange(T)[:, None] < lengths)


def _check_lengths(name: str, lengths: Array, T: int, B: int) -> None:
    _check_shape(name, lengths, B)
    for b in np.flatnonzero((lengths < 0) | (lengths > T)):
        raise ShapeError(f"{name}: lengths[{b}] is {lengths[b]}, expected 0 … {T}: x has {T} steps")


def _check_shape(name: str, lengths: Array, B: int) -> None:
    if lengths.shape != (B,):
        raise ShapeError(
            f"{name}: lengths have shape {lengths.shape}, expected ({B},): one per sequence"
        )
    if lengths.dtype.kind not in "iu" and B:
        raise DTypeError(f"{name}: lengths are {lengths.dtype}, expected integers")
