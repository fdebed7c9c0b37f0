"""The loop of the composites: recurrent layers in plain ops, as they are defined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backend import device_of
from ...engine import Tensor, ops
from ._schedule import Lengths
from .checks import exists, length_array


def scan(
    step: Callable[..., tuple[Tensor, ...]],
    x: Tensor,
    states: tuple[Tensor, ...],
    lengths: Lengths,
    reverse: bool,
) -> Any:
    """(y, *final states) of `states = step(x[t], *states)`, whose first state is the output y[t].

    A sequence that has ended, or, read backward, not begun, keeps its state and puts out zeros.
    """
    T, B = x.shape[:2]
    ends = length_array("scan", lengths, T, B)
    if ends is not None:
        running = Tensor(exists(ends, T, device_of(x.data))[..., None])
        x = ops.where(running, x, 0.0)  # before anything else: a NaN times a zero is a NaN
    inputs = ops.unstack(x) if T else []
    y: list[Any] = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        new = step(inputs[t], *states)
        y[t] = new[0]
        if ends is not None:
            y[t] = ops.where(running[t], new[0], 0.0)
            new = tuple(ops.where(running[t], a, b) for a, b in zip(new, states, strict=True))
        states = new
    return ops.stack(y) if T else x[:, :, :0] @ states[0][:0], *states
