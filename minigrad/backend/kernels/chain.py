"""Elementwise calls as one kernel: an optimiser's update, in one launch, from its own formula.

A function that makes NumPy's `out=` calls over arrays of one shape is called once with symbols, on
a sheet in NumPy's place, which writes the calls down. What is written is the text of a CUDA kernel,
with an element of each array in a register, and line by line, in NumPy, that kernel's reference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from minigrad.backend.device import Array
from minigrad.backend.kernels.gates import wide
from minigrad.backend.kernels.kernel import TYPES, Kernel, computed, over

FORMS = {
    "abs": "{0} < 0 ? -{0} : {0}",
    "add": "{} + {}",
    "divide": "{} / {}",
    "greater": "{} > {}",
    "less": "{} < {}",
    "maximum": "{0} > {1} || {0} != {0} ? {0} : {1}",
    "minimum": "{0} < {1} || {0} != {0} ? {0} : {1}",
    "multiply": "{} * {}",
    "sign": "{0} > 0 ? A(1) : {0} < 0 ? A(-1) : {0}",
    "sqrt": "sqrt({})",
    "subtract": "{} - {}",
    "where": "{} != 0 ? {} : {}",
    "": "{}",
}
"""What is known: NumPy's name → the expression in C; "" is the value itself."""

Formula = Callable[[Any, list[Any], dict[str, Any], list[Any]], None]
"""formula(xp, arrays, numbers, scratch): what is done to arrays of one shape."""


class Line(NamedTuple):
    """`target` becomes what `call` makes of the operands: variables by name, or numbers."""

    target: str
    call: str
    operands: tuple[str | float, ...]


class Symbol:
    """Stands for an array, or for an element of it. What it lacks cannot be written down."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, sheet: Sheet, name: str) -> None:
        self.sheet, self.name = sheet, name

    def copy(self) -> Symbol:
        return self.sheet.write("", self)

    def __setitem__(self, index: Any, value: Any) -> None:
        if index is not Ellipsis:
            raise TypeError("only whole arrays are written down")
        self.sheet.write("", value, out=self)

    def __gt__(self, other: Any) -> Symbol:
        return self.sheet.write("greater", self, other)

    def __lt__(self, other: Any) -> Symbol:
        return self.sheet.write("less", self, other)

    def __bool__(self) -> bool:
        raise TypeError("a value that only the device knows")


class Sheet:
    """Stands for NumPy, and writes down what it is asked."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        if name not in FORMS:
            raise AttributeError(f"{name} is not written down")
        return lambda *operands, out=None: self.write(name, *operands, out=out)

    def write(self, call: str, *operands: Any, out: Symbol | None = None) -> Symbol:
        """One more line; without `out`, into a new variable."""
        target = Symbol(self, f"v{len(self.lines)}") if out is None else out
        self.lines.append(Line(target.name, call, tuple(map(_operand, operands))))
        return target

    __bool__ = Symbol.__bool__


def _operand(value: Any) -> str | float:
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    raise TypeError(f"{value!r} is not written down")


class Chain(Kernel):
    """The kernel of `lines`: arrays are x0, x1 and so on in it, device scalars n0, n1 and so on."""

    def __init__(self, name: str, lines: Sequence[Line], arrays: int, numbers: int) -> None:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII).lower()
        super().__init__("chain", f"{plain}_{crc32(repr(lines).encode()):08x}", self._reference)
        self.lines, self.arrays, self.numbers = lines, arrays, numbers
        targets = {line.target for line in lines}
        self.results = [i for i in range(arrays) if f"x{i}" in targets]

    @cached_property
    def text(self) -> str:
        own = range(self.arrays)
        places = [f"{'' if i in self.results else 'const '}T* at_x{i}" for i in own]
        places += [f"const A* at_n{k}" for k in range(self.numbers)]
        known = {f"x{i}" for i in own}
        body = [f"A n{k} = *at_n{k};" for k in range(self.numbers)]
        body += ["MG_EACH(i, count) {", *(f"  A x{i} = at_x{i}[i];" for i in own)]
        for target, call, operands in self.lines:
            terms = [each if isinstance(each, str) else f"A({each!r})" for each in operands]
            declared = "" if target in known else "A "
            known.add(target)
            body.append(f"  {declared}{target} = {FORMS[call].format(*terms)};")
        body += [*(f"  at_x{i}[i] = x{i};" for i in self.results), "}"]
        signature = f'extern "C" __global__ void {self.name}({", ".join(places)}, i64 count)'
        return "\n".join((f"{signature} {{", *(f"  {line}" for line in body), "}\n"))

    def _reference(self, *args: Any) -> None:
        arrays, numbers = args[: self.arrays], args[self.arrays : -1]
        values: dict[Any, Any] = {f"x{i}": wide(x) for i, x in enumerate(arrays)}
        values |= {f"n{k}": number for k, number in enumerate(numbers)}
        for target, call, operands in self.lines:
            terms = [values.get(each, each) for each in operands]
            values[target] = getattr(np, call)(*terms) if call else terms[0]
        for i in self.results:
            arrays[i][...] = values[f"x{i}"]

    def run(self, arrays: Sequence[Array], numbers: Iterable[Array]) -> bool:
        """Do it to arrays of one dtype, if they lie in one piece: whether it was done."""
        first = arrays[0]
        if np.dtype(first.dtype).name not in TYPES:
            return False
        if not all(x.flags.c_contiguous and x.dtype == first.dtype for x in arrays):
            return False
        kind = computed(first.dtype.name)
        given = [each.astype(kind, copy=False) for each in numbers]
        self(over(first.size), *arrays, *given, first.size)
        return True


MADE: dict[str, Chain] = {}
"""By text: formulas that are the same share a kernel."""


def chain(
    name: str, formula: Formula, arrays: int, numbers: Sequence[str], scratch: int
) -> Chain | None:
    """The kernel of a formula; None if it does more than can be written down."""
    sheet = Sheet()
    try:
        formula(
            sheet,
            [Symbol(sheet, f"x{i}") for i in range(arrays)],
            {each: Symbol(sheet, f"n{k}") for k, each in enumerate(numbers)},
            [Symbol(sheet, f"t{j}") for j in range(scratch)],
        )
    except (AttributeError, TypeError):
        return None
    made = Chain(name, sheet.lines, arrays, len(numbers))
    return MADE.setdefault(made.text, made)
