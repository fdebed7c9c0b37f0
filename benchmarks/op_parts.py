"""What each promise of the tape costs: one that records nothing but `add`, promise by promise.

    python -m benchmarks.op_parts

A row of the tables does what the row above does, and one thing more; the last is minigrad. Each
line of the two functions below says in which rows it is there, or from which on. Nanoseconds per op
in chains of 50 on 8 x 8 matrices: medians of rounds in which all rows take turns, as in
`op_overhead`.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import numpy as np

from .op_overhead import ONE_THREAD, Config, Work, minigrad_work, numpy_work, race, start

CHAIN = 50
ROWS = (
    "NumPy alone",
    "a call that gives a Tensor",
    "a line: op, parents, values, number",
    "shape and dtype where no value is kept; hooks, names, versions",
    "the place of the user's call",
    "switches of this context",
    "arguments of all kinds",
    "one kernel for all devices, errors explained",
    "arguments by name, an op that is an object",
    "minigrad",
)
OP = """
def op(a, b):                                                               # 1-7
def op(a=None, b=None, *rest, **params):                                    # 8
    if rest or params: return None                                          # 8
    if type(a) is ndarray and type(b) is ndarray: return add(a, b)          # 6
    modes = MODES.get()                                                     # 5
    if not modes.usual: return None                                         # 5
    if not (isinstance(a, Tensor) and a.requires_grad): return None         # 6
    if a.node is not None and a.version is not None: return None            # 6
    if not (isinstance(b, Tensor) and b.requires_grad): return None         # 6
    if b.node is not None and b.version is not None: return None            # 6
    x, z = a.data, b.data                                                   # 1
    if type(x) is not type(z): return None                                  # 6
    y = add(x, z)                                                           # 1-6
    try: y = kernel(NAMESPACES[type(x)], x, z)                              # 7
    except (ValueError, TypeError): return None                             # 7
    if type(y) is not type(x): return None                                  # 7
    line = Line()                                                           # 2
    line.op, line.id = OP, tick()                                           # 2
    line.parents = a.node or a, b.node or b                                 # 2
    line.inputs = a.node or a, b.node or b                                  # 2
    line.mask, line.slots, line.params, line.outputs = 3, (0, 0), (), None  # 3
    line.residual = line.versions = line.hooks = line.labels = None         # 3
    line.many, line.shape, line.dtype = None, y.shape, y.dtype              # 3
    frame = getframe(1)                                                     # 4
    code = frame.f_code                                                     # 4
    line.at = (code, frame.f_lasti) if code.co_filename in HERE else None   # 4
    line.scope = modes.scope                                                # 5
    t = new(Tensor)                                                         # 1
    t.data, t.requires_grad = y, True                                       # 1
    t.node = line                                                           # 2
    t.index = 0                                                             # 3
    t.grad = t.hooks = t.version = t.name = None                            # 3
    return t                                                                # 1
"""
BACK_ROWS = (
    "NumPy alone",
    "the rules of a chain, sums at leaves",
    "any graph: the newest line that waits is next",
    "shape and dtype of what a rule returns",
    "values freed, and an error where they are gone or overwritten",
    "minigrad: hooks, targets, masks, many outputs, derivatives of derivatives",
)
BACK = """
def back(node, g):                                                          # 1
    leaves, owned, pending, heap, waiting = {}, set(), {}, [], None         # 1
    while True:                                                             # 1
        if node.inputs is None or latest > node.id: raise ValueError        # 4
        (first, second), (a, b) = node.op.rules, node.inputs                # 1
        grads = first(g, node, a, b), second(g, node, a, b)                 # 1
        for i, g in enumerate(grads):                                       # 1
            parent = node.parents[i]                                        # 1
            line = type(parent) is Line                                     # 1
            like = parent if line else parent.data                          # 3
            if type(g) is not ndarray: raise TypeError                      # 3
            if g.shape != like.shape: raise ValueError                      # 3
            if g.dtype is not like.dtype: raise TypeError                   # 3
            if line and waiting is None: waiting, sums = parent, g          # 1
            elif line and parent is waiting: sums = sums + g                # 2
            elif line and parent in pending: pending[parent] += g           # 2
            elif line: pending[parent] = g                                  # 2
            elif parent in owned: leaves[parent] += g                       # 1
            elif parent not in leaves: leaves[parent] = g                   # 1
            else: leaves[parent] = leaves[parent] + g; owned.add(parent)    # 1
        if node.mask + 1 != 1 << len(node.parents): node.constants = ()     # 4
        node.inputs = node.outputs = node.residual = node.versions = None   # 4
        if heap: raise NotImplementedError                                  # 2
        if waiting is None: return leaves                                   # 1
        node, g, waiting = waiting, sums, None                              # 1
"""


class Tensor:
    """The fields of minigrad's."""

    __slots__ = ("data", "grad", "hooks", "index", "name", "node", "requires_grad", "version")


class Line:
    """The fields of its `Node`."""

    __slots__ = (
        *("at", "constants", "dtype", "hooks", "id", "inputs", "labels", "many", "mask", "op"),
        *("outputs", "params", "parents", "residual", "scope", "shape", "slots", "versions"),
    )


class Called:
    """An op as an object, whose call is an attribute of its own."""

    __slots__ = ("__call__",)


def rule(g: Any, _y: Any, _a: Any, _b: Any) -> Any:
    """The derivative of a sum."""
    return g


def kernel(xp: Any, a: Any, b: Any) -> Any:
    """A sum on any device."""
    return xp.add(a, b)


NAMES = {
    "HERE": {__file__},
    "Line": Line,
    "MODES": ContextVar("modes", default=SimpleNamespace(usual=True, scope=())),  # noqa: B039
    "NAMESPACES": {np.ndarray: np},
    "OP": SimpleNamespace(rules=(rule, rule)),
    "Tensor": Tensor,
    "add": np.add,
    "getframe": sys._getframe,
    "kernel": kernel,
    "latest": 0,
    "ndarray": np.ndarray,
    "new": Tensor.__new__,
    "tick": itertools.count(1).__next__,
}


def version(source: str, row: int) -> Callable[..., Any]:
    """The function of a row: the lines that say a row up to this one."""
    kept = []
    for line in source.strip().splitlines():
        text, _, rows = line.rpartition("#")
        first, _, last = rows.strip().partition("-")
        if int(first) <= row <= int(last or row):
            kept.append(text)
    names = dict(NAMES)
    exec("\n".join(kept), names)  # noqa: S102  the text stands above
    return names["op" if source is OP else "back"]  # type: ignore[no-any-return]


def leaf(data: Any) -> Tensor:
    """A Tensor that requires grad."""
    t = Tensor()
    t.data, t.requires_grad = data, True
    t.node = t.version = t.grad = None
    return t


def forward(row: int) -> Work:
    """A chain of sums."""
    x, w = map(leaf, start())
    op = version(OP, row)
    if row == 8:
        called: Any = Called()
        called.__call__ = op
        op = called

    def work() -> Any:
        y = x
        for _ in range(CHAIN):
            y = op(y, w)
        return y

    return work


def both(row: int) -> Work:
    """A chain of sums as minigrad would do it, and its derivative."""
    chain, back = forward(8), version(BACK, row)
    ones = np.ones((8, 8), np.float32)
    return lambda: back(chain().node, ones)


def table(title: str, rows: tuple[str, ...], works: list[Work], less: list[Work]) -> None:
    """Print a row per work, its time less that of its fellow, and by how much it grew."""
    times = np.median(race([*works, *less], Config(), CHAIN), axis=0) * 1e3
    spent = times[: len(works)] - (times[len(works) :] if less else 0)
    print(f"\n{title}, ns per op")
    for row, now, before in zip(rows, spent, [0, *spent], strict=False):
        print(f"{now:6.0f} {f'+{now - before:.0f}':>6}  {row}")


def main() -> None:
    """Print both tables."""
    numpy, ours = numpy_work("add", CHAIN), minigrad_work("add", CHAIN)
    ladder = [forward(row) for row in range(1, 9)]
    table("forward", ROWS, [numpy[0], *ladder, ours[0]], [])
    ladder, same = [both(row) for row in range(1, 5)], [forward(8)] * 4
    table("backward", BACK_ROWS, [numpy[1], *ladder, ours[1]], [numpy[0], *same, ours[0]])


if __name__ == "__main__":
    if ONE_THREAD.items() <= os.environ.items():
        main()
    else:
        command = [sys.executable, "-m", "benchmarks.op_parts"]
        os.execve(sys.executable, command, os.environ | ONE_THREAD)
