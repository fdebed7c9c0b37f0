"""Recurrent layers whose lengths are on the device: all steps are computed, and masked.

The host does not know which steps exist, so they cannot be left out, but a captured step takes
other lengths each time. Ops of full length do the work, so this is true of their derivatives, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backend import Array, device_of
from ...engine import Tensor, op, ops
from ...errors import DeviceError
from ._lstm import lstm

HOLD = 1e4  # a preactivation whose sigmoid is 1, or 0 where it is negative, to the last bit


@op
def reverse_each(xp: Any, x: Array, lengths: Array) -> Array:
    """x (T, B, …) with the steps of each sequence in reverse; what is past its end stays there."""
    (T, B), clock = x.shape[:2], xp.arange(x.shape[0])[:, None]
    place = xp.where(clock < lengths, lengths - 1 - clock, clock) * B + xp.arange(B)
    flat = x.reshape(T * B, *x.shape[2:])
    return xp.take(flat, place.reshape(-1), axis=0).reshape(x.shape)


reverse_each.defvjp(lambda g, _y, _x, lengths: reverse_each(g, lengths), None)


def padded(
    layer: Callable[..., Any],
    x: Tensor,
    h0: Tensor,
    *rest: Any,
    lengths: Any,
    reverse: bool,
    **options: Any,
) -> tuple[Tensor, ...]:
    """(y, *final states) of layer(x, h0, *rest), one of `rnn`, `gru` and `lstm`.

    Shapes: as in these; lengths (B,) integers on the device of x.
    """
    if device_of(lengths) is not x.device:
        raise DeviceError(
            f"{layer.__name__}: lengths are on {device_of(lengths)}, x on {x.device}; give them as "
            "a list, or beside x"
        )
    lengths, clock = lengths.astype("int64"), x.device.xp.arange(x.shape[0])[:, None]
    exists, last = (Tensor(each[..., None]) for each in (clock < lengths, clock + 1 == lengths))
    x = ops.where(exists, x, 0)  # before anything else: a NaN times a zero is a NaN
    if reverse:
        x = reverse_each(x, Tensor(lengths))
    if layer is lstm:
        c0, w_ih, *others = rest
        gate = ops.zeros((c0.shape[1], 1), dtype=x.dtype, device=x.device)
        past = ops.logical_not(exists).astype(x.dtype)  # one more input, which holds the cell:
        hold = ops.concat([gate - HOLD, gate + HOLD, gate, gate], axis=0)  # i closes, f opens
        x, w_ih = ops.concat([x, past], axis=-1), ops.concat([w_ih, hold], axis=1)
        rest = c0, w_ih, *others
    y, _, *cell = layer(x, h0, *rest, **options)
    y = ops.where(exists, y, 0)
    h = ops.where(Tensor(lengths[:, None] > 0), ops.where(last, y, 0).sum(axis=0), h0)
    return reverse_each(y, Tensor(lengths)) if reverse else y, h, *cell
