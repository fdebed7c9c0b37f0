"""`Program`: a step as a flat list of calls over memory that is planned once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from ...backend import mkl, threads
from ...backend.gemm import steady
from ..modes import show
from .blocks import worked_on
from .calls import cells_read, resolved, store, whole, write
from .forks import shared
from .layout import laid_out
from .line import Line
from .memory import ALIGN, Host, Memory, Ref, leaves
from .plan import in_use, prune
from .recorder import Recorder
from .walk import every

Step = tuple[Callable[..., Any], tuple[Any, ...]]


class Program:
    """The lines of a recorded step, and the memory they run over.

    Attributes:
        lines: what is done, in order; see `Line`.
        constants: lines that were run once, when the program was made.
        nbytes: the size of the program's own memory: what it reads and writes beside the arrays
            that were there before it.
    """

    def __init__(self, recorder: Recorder, kept: Iterable[Memory]) -> None:
        kept = list(kept)
        needed = set(kept)
        for memory in kept:
            memory.kept = True
        lines = shared(prune(recorder.lines, needed))
        layout = laid_out(lines, kept, recorder.usage.most)
        self.constants, self.lines, self.nbytes = layout.constants, layout.lines, layout.plan.size
        for memory, at in layout.plan.at.items():
            memory.at, memory.kept = at, memory in layout.kept
        for line in every(self.lines):
            for cell in cells_read(line.function, line.args):
                cell.readers += 1
                cell.value = None  # of the recorded run
        self.refreshers = recorder.refreshers
        self.lock = threading.Lock()
        room = np.empty(self.nbytes + ALIGN, np.uint8)
        start = -room.__array_interface__["data"][0] % ALIGN
        self._memory = room[start : start + self.nbytes]
        self._views: dict[tuple[Any, ...], Host] = {}
        _replay(self._steps(self.constants))
        self.steps = self._steps(self.lines)
        self._views.clear()

    def run(self, profiler: Any = None) -> None:
        """Replay the step once; `profiler` measures each line."""
        for refresh in self.refreshers:
            refresh()
        if profiler is not None:
            self._measured(profiler, self.steps, self.lines)
            return
        for function, args in self.steps:
            function(*args)

    def _measured(self, profiler: Any, steps: list[Step], lines: list[Line]) -> None:
        for (function, args), line in zip(steps, worked_on(lines), strict=True):
            if function is threads.run:
                parts = [part.args[0] for part in args[0]]
                pairs = zip(parts, line.branches, strict=True)
                threads.run([partial(self._measured, profiler, *pair) for pair in pairs])
            else:
                profiler.line(line, function, args)

    def view(self, ref: Ref) -> Host:
        """The array at a place."""
        if ref.array is not None:
            return ref.array
        at = ref.memory.at + ref.offset
        key = at, ref.shape, ref.strides, ref.dtype
        found = self._views.get(key)
        if found is None:
            found = np.ndarray(ref.shape, ref.dtype, self._memory, at, ref.strides)
            self._views[key] = found
        return found

    def _steps(self, lines: list[Line], *, beside: bool = False) -> list[Step]:
        """The calls of lines; `beside`: others run at the same time, BLAS has one thread."""
        steps: list[Step] = []
        for line in worked_on(lines):
            if line.branches:
                branches = [self._steps(branch, beside=True) for branch in line.branches]
                parts = [partial(_replay, branch) for branch in branches]
                steps.append((threads.run, (parts,)))
                continue
            args = resolved(line.args, self.view)
            kwargs = resolved(line.kwargs, self.view)
            if isinstance(line.function, np.ufunc) and line.function.signature is None:
                args = _quick(args)
            if line.function in (np.maximum, np.minimum):  # their third argument has a name
                args, kwargs = args[:2], {**kwargs, "out": args[2]}
            function = np.dot if _is_plain_product(line) else line.function
            if function in (np.dot, np.matmul):
                function = (mkl.quicker if beside else steady)(function, *args[:2])
            steps.append(((partial(function, **kwargs) if kwargs else function), args))
        return steps

    # -- reading it --------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.lines)

    def __str__(self) -> str:
        rows = list(self._rows(self.lines, {}, ""))
        width = min(78, max([len(left) for left, _, _ in rows], default=0))
        text = [f"{live:>11}  {left:{width}}  {op}" for left, op, live in rows]
        head = f"program of {len(rows)} lines over {self.nbytes:,} bytes (left: those in use)"
        return "\n".join([head, *text])

    def print(self) -> None:
        """List the program: what each line writes, from what, for which op, from where.

        `×20` marks the one product that is in the place of so many, and of their sum.
        """
        print(self)  # noqa: T201  that is what it is for

    def _rows(
        self, lines: list[Line], names: dict[Memory, str], indent: str
    ) -> Iterable[tuple[str, str, str]]:
        """Per line: what is written from what, for which op and where, the bytes in use."""

        def name(ref: Any) -> str:
            if type(ref) is not Ref:
                return f"{ref.item():.6g}" if _is_number(ref) else str(ref)
            if ref.memory not in names:
                known = sum(n[0] == "#" for n in names.values())
                outside = len(names) - known
                names[ref.memory] = f"@{outside}" if ref.memory.owner is not None else f"#{known}"
            shape = ",".join(map(str, ref.shape))
            return f"{names[ref.memory]}:{ref.dtype.kind}{ref.dtype.itemsize * 8}[{shape}]"

        for line, used in zip(lines, in_use(lines), strict=True):
            op = f"{line.op} ×{line.times}" if line.times > 1 else line.op
            about, live = f"{op}  {show(line.place).rsplit('/', 1)[-1]}", f"{used:,}"
            if line.branches:
                yield f"{indent}fork into {len(line.branches)} threads", about, live
                for i, branch in enumerate(line.branches):
                    yield f"{indent}  thread {i}", "", ""
                    yield from self._rows(branch, names, indent + "    ")
                continue
            yield indent + _shown(line, name), about, live


def _replay(steps: list[Step]) -> None:
    for function, args in steps:
        function(*args)


def _quick(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands of an elementwise call: one value seen as many is that value, in half the time."""
    if any(not isinstance(a, np.ndarray) for a in args):
        return args
    *ins, out = args
    ins = [a[(0,) * a.ndim + (...,)] if _is_one_value(a) else a for a in ins]
    return (*ins, out)


def _is_one_value(a: Host) -> bool:
    return a.size == 1 or (a.size > 1 and not any(a.strides))


def _is_plain_product(line: Line) -> bool:
    """Of compact matrices, and vectors: `np.dot` gives the same bits in half the time of a call."""
    if line.function is not np.matmul or line.kwargs or len(line.args) != 3:
        return False
    a, b, out = line.args
    return (
        out.contiguous
        and all(type(x) is Ref and 0 < len(x.shape) <= 2 and x.size for x in line.args)
        and all(x.contiguous or x.transposed.contiguous for x in (a, b))
        and a.dtype == b.dtype == out.dtype
        and a.dtype in (np.float32, np.float64)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 0


def _shown(line: Line, name: Callable[[Any], str]) -> str:
    function, args = line.function, line.args
    if function is write:
        index = "" if args[1] is ... else "[…]"
        return f"{name(args[0])}{index} = {name(args[2])}"
    if function is store:
        function, out, args, _ = args
        outs = out if type(out) is tuple else (out,)
    elif function is whole:
        function, _, places, _, args, _ = args
        outs = tuple(p for p in places if type(p) is Ref)
    else:
        everything = leaves((args, line.kwargs))
        outs = tuple(a for a in everything if type(a) is Ref and a.memory in line.writes)[-1:]
        args = args[:-1] if isinstance(function, np.ufunc) else args
    operands = [name(a) for a in leaves(args) if type(a) in (Ref, int, float) or _is_number(a)]
    left = ", ".join(name(o) for o in outs if o is not None)
    title = getattr(function, "__name__", type(function).__name__)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        title = f"{owner.__name__}.{title}"
    return f"{left} = {title}({', '.join(operands)})"
