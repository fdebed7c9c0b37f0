"""The cells of `cells.cuh`, and a step of each: as a launch, and as what that launch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minigrad.backend.device import Array
from minigrad.backend.gemm import accumulate, matmul
from minigrad.backend.kernels import gates


class Cell(NamedTuple):
    """A cell, and its steps; `blocks`, `columns` and their order are those of its loop in ops.

    `step(weight, x, blocks, step, h, out, relu)`: from W x + b in x (G H, n), which it may
    overwrite, and h (H, n) before, to h and out (n, H). `back(weight, y, dy, block, dh, carry,
    columns, relu)`: from dh of a step, and dy (n, H), to dh of the step before, weight (H, G H).

    `computed` and `computed_back` do it to NumPy's arrays, the first with U h + b' instead of the
    weight, the second without its product; dy may be absent there.
    """

    name: str
    struct: str
    gates: int
    planes: int
    saved: int
    step: Callable[..., None]
    back: Callable[..., None]
    computed: Callable[..., None]
    computed_back: Callable[..., None]


def _lstm_step(
    U: Array, x: Array, blocks: Array, step: int, h: Array, out: Array, relu: bool
) -> None:
    after = blocks[(step + 1) % len(blocks), 1]
    gates.lstm_forward(accumulate(U, h, x), blocks[step % len(blocks)], after, h, out)


def _lstm_computed(
    u: Array, x: Array, blocks: Array, step: int, h: Array, out: Array, relu: bool
) -> None:
    block, after = blocks[step % len(blocks)], blocks[(step + 1) % len(blocks), 1]
    gates._lstm_forward(x + u, 0, block, after, h, 0, out, 0, *h.shape)


def _lstm_back(
    V: Array, y: Array, dy: Array, block: Array, dh: Array, carry: Array, d: Array, relu: bool
) -> None:
    gates.lstm_backward(dh, dy, block, carry, d)
    matmul(V, d.reshape(-1, d.shape[2]), dh)


def _lstm_computed_back(
    y: Array, dy: Array | None, block: Array, dh: Array, carry: Array, d: Array, relu: bool
) -> None:
    upstream = (dh, 0, 0) if dy is None else (dy, 0, 1)
    gates._lstm_backward(dh, *upstream, block, carry, d, 0, 0, *dh.shape)
    dh[...] = 0


def _gru_step(
    U: Array, x: Array, blocks: Array, step: int, h: Array, out: Array, relu: bool
) -> None:
    gates.gru_forward(matmul(U, h), x, blocks[step % len(blocks)], h, out)


def _gru_computed(
    u: Array, x: Array, blocks: Array, step: int, h: Array, out: Array, relu: bool
) -> None:
    gates._gru_forward(u, x, 0, blocks[step % len(blocks)], h, out, 0, *h.shape)


def _gru_back(
    V: Array, y: Array, dy: Array, block: Array, dh: Array, carry: Array, d: Array, relu: bool
) -> None:
    gates.gru_backward(dh, dy, block, d)
    accumulate(V, d[1:].reshape(-1, d.shape[2]), dh)


def _gru_computed_back(
    y: Array, dy: Array | None, block: Array, dh: Array, carry: Array, d: Array, relu: bool
) -> None:
    upstream = (dh, 0, 0) if dy is None else (dy, 0, 1)
    gates._gru_backward(dh, *upstream, block, d, 0, 0, *dh.shape)


def _rnn_step(
    U: Array, x: Array, blocks: Array, step: int, h: Array, out: Array, relu: bool
) -> None:
    gates.rnn_forward(accumulate(U, h, x), h, out, "relu" if relu else "tanh")


def _rnn_computed(
    u: Array, x: Array, blocks: Array, step: int, h: Array, out: Array, relu: bool
) -> None:
    gates._rnn_forward(x + u, 0, h, 0, out, 0, relu, *h.shape)


def _rnn_back(
    V: Array, y: Array, dy: Array, block: Array, dh: Array, carry: Array, d: Array, relu: bool
) -> None:
    gates.rnn_backward(dh, dy, y, d[0], "relu" if relu else "tanh")
    matmul(V, d[0], dh)


def _rnn_computed_back(
    y: Array, dy: Array | None, block: Array, dh: Array, carry: Array, d: Array, relu: bool
) -> None:
    upstream = (dh, 0, 0) if dy is None else (dy, 0, 1)
    gates._rnn_backward(dh, *upstream, y, 0, d[0], 0, relu, *dh.shape)
    dh[...] = 0


LSTM = Cell("lstm", "Lstm", 4, 4, 6, _lstm_step, _lstm_back, _lstm_computed, _lstm_computed_back)
GRU = Cell("gru", "Gru", 3, 4, 5, _gru_step, _gru_back, _gru_computed, _gru_computed_back)
RNN = Cell("rnn", "Plain", 1, 1, 0, _rnn_step, _rnn_back, _rnn_computed, _rnn_computed_back)
CELLS = LSTM, GRU, RNN
