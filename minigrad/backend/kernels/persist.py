"""A recurrent layer's loop as one launch, with the weights in shared memory; see `persist.cu`.

Whether, and how a GPU's blocks share the work: `plan.py`. Where the weights' halves are what is
multiplied, by choice (`amp.autocast`) or because the arrays are halves, tensor cores multiply them
and sum in float32, if H is a multiple of 16; all else, and the cell of an LSTM, stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from itertools import product

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.device_gemm import rounded
from minigrad.backend.gemm import operand
from minigrad.backend.kernels.cells import CELLS, GRU, LSTM, RNN, Cell
from minigrad.backend.kernels.gates import wide
from minigrad.backend.kernels.kernel import TYPES, Kernel, read, row
from minigrad.backend.kernels.plan import Plan, Ways, chosen

TRIED = 8  # steps of a try


class Persistent(Kernel):
    """All steps of `cell`, `way` forward or backward, by clusters or by the whole grid.

    `operand` is the type of the weights and of what they multiply, on tensor cores; None: they are
    multiplied as they are, in the type in which kernels compute.
    """

    def __init__(self, cell: Cell, way: str, cluster: bool, operand: str | None) -> None:
        self.cell, self.operand = cell, operand
        words = cell.name, "cluster" if cluster else "persistent", operand
        self.prefix = "_".join(word for word in words if word)
        super().__init__(
            self.prefix,
            f"{self.prefix}_{way}",
            partial(_forward if way == "forward" else _backward, cell, operand),
            cooperative=not cluster,
            cluster=cluster,
        )

    @property
    def barriers(self) -> bool:
        """They do."""
        return True

    @cached_property
    def text(self) -> str:
        """persist.cu for this cell and these operands; both ways are in one text."""
        defined = [f"#define MG_CELL {self.cell.struct}"]
        if self.cluster:
            defined.append("#define MG_CLUSTERS")
        if self.operand is not None:
            defined.append(f"#define MG_TENSOR {TYPES[self.operand]}")
        return "\n".join((*defined, read("persist.cu").replace("recurrent_", f"{self.prefix}_")))


@cache
def kernel(cell: Cell, way: str, cluster: bool, operand: str | None) -> Persistent:
    """The one of its kind."""
    return Persistent(cell, way, cluster, operand)


def variants() -> list[Kernel]:
    """All of them."""
    operands = None, "float16", "bfloat16"
    return [
        kernel(*each) for each in product(CELLS, ("forward", "backward"), (False, True), operands)
    ]


def _forward(
    cell: Cell, operand: str | None, projected: Array, _pr: int, U: Array, _ur: int, hidden: Array,
    told: Array, blocks: Array, turns: int, out: Array, _or: int, first: int, stride: int,
    steps: int, H: int, n: int, J: int, splits: int, relu: int, meet: Array,
) -> None:  # fmt: skip
    weight, bias = rounded(wide(U[:, :H]), operand), wide(U[:, H:]).sum(axis=1, keepdims=True)
    for step in range(steps):
        at = slice(first + step * stride, first + step * stride + n)
        u = weight @ rounded(wide(hidden), operand) + bias
        cell.computed(u, wide(projected[:, at]), blocks, step, hidden, out[at], bool(relu))


def _backward(
    cell: Cell, operand: str | None, V: Array, blocks: Array, y: Array, _yr: int, dy: Array,
    _dr: int, has_dy: int, dh: Array, carry: Array, told: Array, d: Array, planes: int, _dp: int,
    _cr: int, first: int, stride: int, steps: int, H: int, n: int, J: int, splits: int, relu: int,
    meet: Array,
) -> None:  # fmt: skip
    weight = rounded(wide(V), operand).T
    for step in reversed(range(steps)):
        at = slice(first + step * stride, first + step * stride + n)
        block, upstream = blocks[step % len(blocks)], dy[at] if has_dy else None
        cell.computed_back(y[at], upstream, block, dh, carry, d[:, :, at], bool(relu))
        passed = wide(d[planes - cell.gates :, :, at]).reshape(-1, n)
        dh[...] = wide(dh) + weight @ rounded(passed, operand)


def forward(
    cell: Cell,
    project: Callable[[int, int], Array],
    U: Array,
    h: Array,
    blocks: Array,
    out: Array,
    n: int,
    starts: Sequence[int],
    relu: bool = False,
) -> bool:
    """All steps of a run, if it is worth it: whether it was done.

    `project(low, width)` gives W x + b of the packed rows from `low`, (G H, width). U (G H, H), or
    with b' as another column, h (H, n) before and then after, blocks as the cell has them, where
    the steps take turns, out (size, H).
    """
    plan = chosen(cell.name, cell.gates, "forward", h, n, len(starts), partial(_ways, cell, relu))
    if plan is None:
        return False
    low, width = min(starts), n * len(starts)
    there = [start - low for start in starts]
    rows = out[low : low + width]
    _run(cell, plan, project(low, width), U, h, blocks, rows, n, there, relu)
    return True


def _run(
    cell: Cell, plan: Plan, projected: Array, U: Array, h: Array, blocks: Array, out: Array, n: int,
    starts: Sequence[int], relu: bool,
) -> None:  # fmt: skip
    H, xp = h.shape[0], namespace(h)
    kernel(cell, "forward", plan.cluster, plan.operand)(
        plan.launch, projected, row(projected), U, row(U), h, _told(plan, h, H, n), blocks,
        len(blocks), out, row(out), starts[0], _stride(starts), len(starts), H, n, plan.J,
        plan.splits, int(relu), xp.zeros(1, dtype=np.uint32),
    )  # fmt: skip


def _told(plan: Plan, like: Array, rows: int, n: int) -> Array:
    """Room for what blocks tell each other, twice, as in `persist.cu`; halves are bits here."""
    dtype = like.dtype if plan.operand is None else np.uint16
    return namespace(like).empty((2, rows, -(-n // 32) * 32), dtype=dtype)


def _stride(starts: Sequence[int]) -> int:
    return starts[1] - starts[0] if len(starts) > 1 else 0


def _ways(cell: Cell, relu: bool, found: list[Plan], like: Array, n: int) -> Ways:
    """All ways of a few steps on arrays of their own; each gives all outputs, at its first call."""
    (H, _), G, xp, dtype = like.shape, cell.gates, namespace(like), like.dtype
    U, h = _wave(like, (G * H, H), H**-0.5), xp.empty((H, n), dtype=dtype)
    projected = _wave(like, (G * H, TRIED * n), 1.0)
    given, blocks = projected.copy(), xp.zeros((TRIED + 1, cell.saved or 1, H, n), dtype=dtype)
    weight, starts = operand(U), range(0, TRIED * n, n)

    def at_once(plan: Plan) -> Array:
        out = xp.empty((TRIED * n, H), dtype=dtype)
        h.fill(0)
        _run(cell, plan, projected, U, h, blocks, out, n, starts, relu)
        return out

    def by_step() -> Array:
        out = xp.empty((TRIED * n, H), dtype=dtype)
        h.fill(0)
        for step, start in enumerate(starts):
            rows = slice(start, start + n)
            cell.step(weight, given[:, rows], blocks, step, h, out[rows], relu)
        return out

    return [*(partial(at_once, each) for each in found), by_step]


def _wave(like: Array, shape: tuple[int, ...], height: float) -> Array:
    """Numbers of some kind between -height and height."""
    xp, size = namespace(like), math.prod(shape)
    wave = xp.sin(xp.arange(size, dtype=np.float32)) * height
    return wave.astype(like.dtype).reshape(shape)


def backward(
    cell: Cell, V: Array, blocks: Array | None, y: Array | None, dy: Array | None, dh: Array,
    carry: Array | None, columns: Callable[[int, int], Array], n: int, starts: Sequence[int],
    relu: bool = False,
) -> bool:  # fmt: skip
    """All steps back of a run, if it is worth it: whether it was done.

    V (G H, H) is W_hh, blocks those of the way forward, y (size, H) its outputs, dy their
    gradients; dh and carry (H, n) after the last step, then before the first; None: the cell has no
    use for it. `columns(low, width)` is room for the gradients, (·, H, width).
    """
    ways = partial(_ways_back, cell, relu)
    plan = chosen(cell.name, cell.gates, "backward", dh, n, len(starts), ways)
    if plan is None:
        return False
    low, width = min(starts), n * len(starts)
    there, rows = [start - low for start in starts], slice(low, low + width)
    upstream = None if dy is None else namespace(dh).ascontiguousarray(dy[rows])
    outputs, room = None if y is None else y[rows], columns(low, width)
    _run_back(cell, plan, V, blocks, outputs, upstream, dh, carry, room, n, there, relu)
    return True


def _run_back(
    cell: Cell, plan: Plan, V: Array, blocks: Array | None, y: Array | None, dy: Array | None,
    dh: Array, carry: Array | None, d: Array, n: int, starts: Sequence[int], relu: bool,
) -> None:  # fmt: skip
    H, xp, has_dy = dh.shape[0], namespace(dh), int(dy is not None)
    blocks, y, dy, carry = (dh if each is None else each for each in (blocks, y, dy, carry))
    kernel(cell, "backward", plan.cluster, plan.operand)(
        plan.launch, V, blocks, y, row(y), dy, row(dy), has_dy, dh, carry,
        _told(plan, dh, cell.gates * H, n), d, cell.planes, int(d.strides[0] // d.itemsize), row(d),
        starts[0], _stride(starts), len(starts), H, n, plan.J, plan.splits, int(relu),
        xp.zeros(1, dtype=np.uint32),
    )  # fmt: skip


def _ways_back(cell: Cell, relu: bool, found: list[Plan], like: Array, n: int) -> Ways:
    """All ways of a few steps back on arrays of their own; each gives all gradients."""
    (H, _), G, xp, dtype = like.shape, cell.gates, namespace(like), like.dtype
    V, blocks = _wave(like, (G * H, H), H**-0.5), _wave(like, (TRIED, cell.saved or 1, H, n), 0.9)
    y, dy = _wave(like, (TRIED * n, H), 0.9), _wave(like, (TRIED * n, H), 1.0)
    dh, carry = xp.empty((2, H, n), dtype=dtype)
    weight, starts = operand(V.T), range(0, TRIED * n, n)

    def begin() -> Array:
        dh.fill(0)
        carry.fill(0)
        return xp.empty((cell.planes, H, TRIED * n), dtype=dtype)

    def at_once(plan: Plan) -> Array:
        d = begin()
        _run_back(cell, plan, V, blocks, y, dy, dh, carry, d, n, starts, relu)
        return d

    def by_step() -> Array:
        d = begin()
        for step, start in reversed(list(enumerate(starts))):
            rows = slice(start, start + n)
            cell.back(weight, y[rows], dy[rows], blocks[step], dh, carry, d[:, :, rows], relu)
        return d

    return [*(partial(at_once, each) for each in found), by_step]


__all__: list[str] = ["GRU", "LSTM", "RNN", "backward", "forward", "variants"]
