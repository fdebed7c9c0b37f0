"""The products that the steps of a recurrent loop share on the way forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...backend import Array, accumulate, fused, matmul, on_cpu, operand
from ._products import product
from ._schedule import Schedule
from ._workspace import Workspace

COLUMNS = 32  # narrower steps are projected several at a time
FOLDED = 512  # input and state features up to which one product takes both
NARROW = 2  # sequences up to which it does not: what reads a weight once for many steps is quicker


def arrange(
    xp: Any,
    w: Array,
    gates: Sequence[tuple[int, float]],
    bias: Array | None = None,
    out: Array | None = None,
) -> Array:
    """The gates' rows of `w` (G·H, K), reordered and scaled; `bias` (G·H,) becomes a last column.

    `gates` lists, in the new order, (position in PyTorch's order, factor).
    """
    G = len(gates)
    (M, K), H = w.shape, w.shape[0] // G
    if out is None:
        out = xp.empty((M, K if bias is None else K + 1), dtype=w.dtype)
    new = out.reshape(G, H, out.shape[1])
    for place, (gate, factor) in enumerate(gates):
        rows = slice(gate * H, (gate + 1) * H)
        xp.multiply(w[rows], factor, out=new[place, :, :K])
        if bias is not None:
            xp.multiply(bias[rows], factor, out=new[place, :, K])
    return out


def total(b_ih: Array | None, b_hh: Array | None) -> Array | None:
    """The sum of the two biases, either of which may be absent."""
    if b_ih is None or b_hh is None:
        return b_hh if b_ih is None else b_ih
    return b_ih + b_hh


class InputProjection:
    """W_ih xₜ + b of each step: `weight` is (M, I), or (M, I + 1) with the bias as last column.

    On the CPU step by step, right before its use, so that it is still in cache; on a GPU a run in
    one product. The weight's rows are those of the gates, as `arrange` has them.
    """

    def __init__(
        self,
        space: Workspace,
        gates: Sequence[tuple[int, float]],
        w_ih: Array,
        bias: Array | None,
        rows: Array,
    ) -> None:
        self.space, self.xp, self.rows = space, space.xp, rows
        room = space.array("w_ih", len(w_ih), w_ih.shape[1] + (bias is not None))
        self.weight = arrange(self.xp, w_ih, gates, bias, room)

    def __call__(self, n: int, starts: Sequence[int]) -> Iterator[tuple[int, Array]]:
        """(start, W_ih xₜ + b) of each step of a run, (M, n); the next step may overwrite it."""
        rows, features = self.rows, self.rows.shape[1]
        steps = max(1, COLUMNS // n) if on_cpu(self.xp) else len(starts)
        width = 0
        for first in range(0, len(starts), steps):
            chunk = starts[first : first + steps]
            if len(chunk) * n != width:
                width = len(chunk) * n
                most = max(COLUMNS, self.space.widest)
                inputs, projected, project = self.space.product(self.weight, width, most)
                inputs[features:] = 1  # for the bias
            low = min(chunk)
            inputs[:features] = rows[low : low + width].T
            project()
            for start in chunk:
                yield start, projected[:, start - low : start - low + n]

    def at_once(self, low: int, width: int) -> Array:
        """W_ih x + b of the packed rows from `low`, (M, width)."""
        xp, rows = self.xp, self.rows
        inputs = xp.ones((self.weight.shape[1], width), dtype=rows.dtype)
        inputs[: rows.shape[1]] = rows[low : low + width].T
        return matmul(self.weight, inputs)


class Preactivations:
    """W_ih xₜ + W_hh hₜ₋₁ + b of each step, with the gates in the order and scaled as in `gates`.

    On the CPU one product [W_hh W_ih b] [h; x; 1], unless that is too large to be a small one. A
    single step is a cell's: there it is not the weights that are rearranged, but what they give.
    """

    def __init__(
        self,
        space: Workspace,
        gates: Sequence[tuple[int, float]],
        w_ih: Array,
        w_hh: Array,
        bias: Array | None,
        rows: Array,
        batch: Schedule,
    ) -> None:
        xp, (M, P) = space.xp, w_hh.shape
        self.space, self.xp, self.gates, self.rows, self.features = space, xp, gates, rows, P
        self.steps: Callable[..., Iterator[tuple[int, Array]]]  # unbound: no cycle keeps arrays
        self.weights: tuple[Any, ...]
        if on_cpu(xp) and batch.T == 1:
            self.steps, self.weights = Preactivations._single, (w_hh, w_ih, bias)
        elif on_cpu(xp) and P + rows.shape[1] <= FOLDED and batch.B > NARROW:
            weight = space.array("w_hh w_ih", M, P + rows.shape[1] + (bias is not None))
            arrange(xp, w_hh, gates, None, weight[:, :P])
            arrange(xp, w_ih, gates, bias, weight[:, P:])
            self.steps, self.weights = Preactivations._folded, (weight,)
        else:
            weight = arrange(xp, w_hh, gates, None, space.array("w_hh", M, P))
            self.steps = Preactivations._projected
            self.weights = weight, InputProjection(space, gates, w_ih, bias, rows)

    def __call__(self, n: int, starts: Sequence[int]) -> tuple[Array, Iterator[tuple[int, Array]]]:
        """The place of the state h (P, n), and for each step (start, preactivations (M, n)).

        A step reads what stands in h when it is asked for, and overwrites the step before.
        """
        space, weight = self.space, self.weights[0]
        if self.steps is Preactivations._single:  # the weight itself, which is not the workspace's
            operand, out = (
                self.xp.empty((size, n), dtype=weight.dtype) for size in weight.shape[::-1]
            )
            multiply = product(self.xp, weight, operand, out)
        else:
            operand, out, multiply = space.product(weight, n)
        operand[self.features + self.rows.shape[1] :] = 1  # for the bias
        return operand[: self.features], self.steps(self, operand, multiply, out, starts)

    def at_once(
        self, cell: str, n: int, starts: Sequence[int], h: Array, blocks: Array, out: Array,
        relu: bool = False,
    ) -> bool:  # fmt: skip
        """Take all steps of a run in one launch, where a GPU does that; whether it did."""
        run = fused(self.xp, f"{cell}_persistent", h.dtype)
        if run is None:
            return False
        weight, project = self.weights
        return bool(run(project.at_once, weight, h, blocks, out, n, starts, relu))

    def _folded(
        self, operand: Array, multiply: Any, out: Array, starts: Sequence[int]
    ) -> Iterator[tuple[int, Array]]:
        n, first, rows, copyto = out.shape[1], self.features, self.rows, self.xp.copyto
        inputs = operand[first : first + rows.shape[1]]  # a row of ones may follow
        turned = inputs.T
        for start in starts:
            copyto(turned, rows[start : start + n])
            multiply()
            yield start, out

    def _projected(
        self, state: Array, multiply: Any, out: Array, starts: Sequence[int]
    ) -> Iterator[tuple[int, Array]]:
        add, on_host = self.xp.add, on_cpu(self.xp)
        weight = operand(self.weights[0])
        for start, projected in self.weights[1](out.shape[1], starts):
            if not on_host:  # in the product itself
                yield start, accumulate(weight, state, projected)
                continue
            multiply()
            add(out, projected, out)
            yield start, out

    def _single(
        self, operand: Array, multiply: Any, out: Array, starts: Sequence[int]
    ) -> Iterator[tuple[int, Array]]:
        xp, (_, w_ih, bias) = self.xp, self.weights
        multiply()
        inputs, projected = xp.array(self.rows.T, order="C"), xp.empty_like(out)
        product(xp, w_ih, inputs, projected)()
        xp.add(out, projected, out)
        if bias is not None:
            xp.add(out, bias[:, None], out)
        yield starts[0], arrange(xp, out, self.gates)
