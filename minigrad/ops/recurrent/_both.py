"""Both directions of a recurrent layer as one op, so that they can run on two threads.

Each is the op of one direction with the same kernels, which know nothing of this: results are the
same bits as those of two ops, whatever the number of threads. On a GPU the two have a stream each,
also in a captured step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...backend import Array, Device, device_of, on_cpu
from ...engine import Tensor, fork, fused, ops
from ._gru import gru
from ._lstm import lstm
from ._rnn import rnn
from ._schedule import Lengths

WORTH = 1 << 20  # multiplications of a step from which it pays to have a thread per direction


def worth(x: Tensor, w_ih: Tensor, w_hh: Tensor) -> bool:
    """Whether two directions over x (T, B, I) are quicker as one op: on a CPU with large steps."""
    work = x.shape[1] * (w_ih.size + w_hh.size)
    return (work >= WORTH or x.device.kind != "cpu") and x.device.forks()


@fused
def birnn(
    xp: Any,
    x: Array,
    *args: Array | None,
    nonlinearity: str = "tanh",
    lengths: Lengths = None,
    reverse: bool = False,
    keep: bool,
) -> Any:
    """`rnn` in both directions: x, then its other arguments for one direction and for the other.

    Shapes: as in `rnn`; returns y (T, B, 2H), h_T of each direction. `reverse` swaps them.
    """
    params = {"nonlinearity": nonlinearity, "lengths": lengths}
    return _forward(rnn, xp, x, args, keep, reverse, params)


@fused
def bigru(
    xp: Any,
    x: Array,
    *args: Array | None,
    lengths: Lengths = None,
    reverse: bool = False,
    keep: bool,
) -> Any:
    """`gru` in both directions: x, then its other arguments for one direction and for the other.

    Shapes: as in `gru`; returns y (T, B, 2H), h_T of each direction. `reverse` swaps them.
    """
    return _forward(gru, xp, x, args, keep, reverse, {"lengths": lengths})


@fused
def bilstm(
    xp: Any,
    x: Array,
    *args: Array | None,
    lengths: Lengths = None,
    reverse: bool = False,
    keep: bool,
) -> Any:
    """`lstm` in both directions: x, then its other arguments for one direction and for the other.

    Shapes: as in `lstm`; returns y (T, B, 2P), h_T and c_T of the one direction, then of the other.
    `reverse` swaps them.
    """
    return _forward(lstm, xp, x, args, keep, reverse, {"lengths": lengths})


def _forward(
    op: Any,
    xp: Any,
    x: Array,
    args: Sequence[Array | None],
    keep: bool,
    reverse: bool,
    params: dict[str, Any],
) -> tuple[tuple[Array, ...], Any]:
    ways = [
        partial(op.forward, xp, x, *half, keep=keep, reverse=way, **params)
        for half, way in zip(_halves(args), (reverse, not reverse), strict=True)
    ]
    (ahead, kept), (back, kept_too) = fork(*ways, device=_device(xp, x))
    y = xp.concatenate((ahead[0], back[0]), axis=2)
    return (y, *ahead[1:], *back[1:]), (kept, kept_too) if keep else None


def _backward(
    op: Any,
    xp: Any,
    gs: tuple[Array | None, ...],
    ys: tuple[Array, ...],
    inputs: tuple[Any, ...],
    residual: Any,
    needs: tuple[bool, ...],
    reverse: bool,
    **params: Any,
) -> tuple[Array | None, ...]:
    P = ys[0].shape[2] // 2
    columns = slice(P), slice(P, None)
    ways = [
        partial(
            op._backward,
            xp,
            (None if gs[0] is None else gs[0][:, :, part], *dstates),
            (ys[0][:, :, part], *states),
            (inputs[0], *args),
            kept,
            (needs[0], *wanted),
            reverse=way,
            **params,
        )
        for part, dstates, states, args, kept, wanted, way in zip(
            columns,
            _halves(gs[1:]),
            _halves(ys[1:]),
            _halves(inputs[1:]),
            residual,
            _halves(needs[1:]),
            (reverse, not reverse),
            strict=True,
        )
    ]
    (dx, *ahead), (dx_too, *back) = fork(*ways, device=_device(xp, inputs[0]))
    return None if dx is None else xp.add(dx, dx_too, dx), *ahead, *back


def _composite(op: Any, x: Tensor, *args: Any, reverse: bool, **params: Any) -> Any:
    ahead, back = (
        op.plain(x, *half, reverse=way, **params)
        for half, way in zip(_halves(args), (reverse, not reverse), strict=True)
    )
    return ops.concat([ahead[0], back[0]], axis=2), *ahead[1:], *back[1:]


def _device(xp: Any, x: Array) -> Device | None:
    return None if on_cpu(xp) else device_of(x)


def _halves(values: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    middle = len(values) // 2
    return values[:middle], values[middle:]


BOTH = {rnn: birnn, gru: bigru, lstm: bilstm}
for _one, _two in BOTH.items():
    _two.backward(partial(_backward, _one))
    _two.composite(partial(_composite, _one))
