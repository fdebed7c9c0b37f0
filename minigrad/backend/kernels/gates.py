"""The gates of recurrent layers in one launch per step; see `gates.cu`.

The layouts are those of the loops in `ops/recurrent`: features major, (H, n) for n sequences.
Arithmetic of the references is in float32 for half precision, as in the kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.kernels.kernel import Kernel, over, row


def wide(x: Array) -> Array:
    """x in the type in which kernels compute: float32 at least."""
    return x if x.dtype.itemsize >= 4 else x.astype(np.float32)


def _sigmoid(halved: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(halved)


def _upstream(dh: Array, dy: Array, has_dy: int) -> Array:
    return wide(dh) + wide(dy).T if has_dy else wide(dh)


def _lstm_forward(
    gates: Array, _gr: int, block: Array, after: Array, hidden: Array, _hr: int,
    out: Array, _or: int, H: int, n: int,
) -> None:  # fmt: skip
    g, o, f, i = wide(gates).reshape(4, H, n)
    g, o, f, i = np.tanh(g), _sigmoid(o), _sigmoid(f), _sigmoid(i)
    c = f * wide(block[1]) + i * g
    squashed = np.tanh(c)
    block[0], block[2], block[3], block[4], block[5] = squashed, g, o, f, i
    after[...] = c
    hidden[...] = h = o * squashed
    out[...] = h.T


def _lstm_backward(
    dh: Array, dy: Array, _yr: int, has_dy: int, block: Array, carry: Array,
    columns: Array, _cp: int, _cr: int, H: int, n: int,
) -> None:  # fmt: skip
    squashed, before, g, o, f, i = wide(block)
    dm = _upstream(dh, dy, has_dy)
    dc = wide(carry) + dm * o * (1 - squashed * squashed)
    dout, dg = dm * squashed * o * (1 - o), dc * i * (1 - g * g)
    df, di = dc * before * f * (1 - f), dc * g * i * (1 - i)
    carry[...] = dc * f
    columns[0], columns[1], columns[2], columns[3] = di, df, dg, dout


def _gru_forward(
    gates: Array, projected: Array, _pr: int, block: Array, hidden: Array,
    out: Array, _or: int, H: int, n: int,
) -> None:  # fmt: skip
    (u_r, u_z, u_n), (x_r, x_z, x_n) = (wide(a).reshape(3, H, n) for a in (gates, projected))
    r, z = _sigmoid(u_r + x_r), _sigmoid(u_z + x_z)
    fresh = np.tanh(r * u_n + x_n)
    change = wide(hidden) - fresh
    block[0], block[1], block[2], block[3], block[4] = r, z, u_n, change, fresh
    hidden[...] = h = fresh + z * change
    out[...] = h.T


def _gru_backward(
    dh: Array, dy: Array, _yr: int, has_dy: int, block: Array,
    columns: Array, _cp: int, _cr: int, H: int, n: int,
) -> None:  # fmt: skip
    r, z, from_h, change, fresh = wide(block)
    g = _upstream(dh, dy, has_dy)
    through = g * z
    dn = (g - through) * (1 - fresh * fresh)
    dhn = dn * r
    dr, dz = dhn * from_h * (1 - r), through * change * (1 - z)
    dh[...] = through
    for place, each in enumerate((dn, dr, dz, dhn)):
        columns[place] = each


def _rnn_forward(
    gate: Array, _gr: int, hidden: Array, _hr: int, out: Array, _or: int, relu: int, H: int, n: int
) -> None:
    hidden[...] = h = np.maximum(gate, 0) if relu else np.tanh(wide(gate))
    out[...] = h.T


def _rnn_backward(
    dh: Array, dy: Array, _yr: int, has_dy: int, out: Array, _or: int,
    columns: Array, _cr: int, relu: int, H: int, n: int,
) -> None:  # fmt: skip
    y = wide(out).T
    columns[...] = _upstream(dh, dy, has_dy) * ((y > 0) if relu else 1 - y * y)


LSTM_FORWARD = Kernel("gates.cu", "lstm_forward", _lstm_forward)
LSTM_BACKWARD = Kernel("gates.cu", "lstm_backward", _lstm_backward)
GRU_FORWARD = Kernel("gates.cu", "gru_forward", _gru_forward)
GRU_BACKWARD = Kernel("gates.cu", "gru_backward", _gru_backward)
RNN_FORWARD = Kernel("gates.cu", "rnn_forward", _rnn_forward)
RNN_BACKWARD = Kernel("gates.cu", "rnn_backward", _rnn_backward)


def lstm_forward(gates: Array, block: Array, after: Array, hidden: Array, out: Array) -> None:
    """A step: gates (4H, n) → `block`, the cell `after` (H, n), h (H, n) and out (n, H)."""
    H, n = hidden.shape
    LSTM_FORWARD(
        over(H * n), gates, row(gates), block, after, hidden, row(hidden), out, row(out), H, n
    )


def lstm_backward(dh: Array, dy: Array | None, block: Array, carry: Array, columns: Array) -> None:
    """A step back: columns (4, H, n) i f g o, carry ← dc ∘ f."""
    H, n = dh.shape
    LSTM_BACKWARD(
        over(H * n), dh, *_optional(dy, dh), block, carry, columns, *_planes(columns), H, n
    )


def gru_forward(gates: Array, projected: Array, block: Array, hidden: Array, out: Array) -> None:
    """A step: gates and projected (3H, n) → `block`, h (H, n) in place, out (n, H)."""
    H, n = hidden.shape
    GRU_FORWARD(over(H * n), gates, projected, row(projected), block, hidden, out, row(out), H, n)


def gru_backward(dh: Array, dy: Array | None, block: Array, columns: Array) -> None:
    """A step back: columns (4, H, n), dh ← dh ∘ z."""
    H, n = dh.shape
    GRU_BACKWARD(over(H * n), dh, *_optional(dy, dh), block, columns, *_planes(columns), H, n)


def rnn_forward(gate: Array, hidden: Array, out: Array, nonlinearity: str) -> None:
    """A step: the preactivation (H, n) → h (H, n) and out (n, H)."""
    H, n = hidden.shape
    relu = int(nonlinearity == "relu")
    RNN_FORWARD(over(H * n), gate, row(gate), hidden, row(hidden), out, row(out), relu, H, n)


def rnn_backward(
    dh: Array, dy: Array | None, out: Array, columns: Array, nonlinearity: str
) -> None:
    """A step back: columns (H, n), from the step's output (n, H)."""
    H, n = dh.shape
    relu = int(nonlinearity == "relu")
    RNN_BACKWARD(
        over(H * n), dh, *_optional(dy, dh), out, row(out), columns, row(columns), relu, H, n
    )


def _optional(dy: Array | None, instead: Array) -> tuple[Any, int, int]:
    if dy is None:
        return instead, 0, 0
    if dy.strides[-1] != dy.itemsize:  # one number seen many times, as the gradient of a sum
        dy = namespace(dy).ascontiguousarray(dy)
    return dy, row(dy), 1


def _planes(columns: Array) -> tuple[int, int]:
    return int(columns.strides[0] // columns.itemsize), row(columns)
