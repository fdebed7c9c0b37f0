"""What sums are made of: terms, and what is known of how they are made."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .line import Line
from .memory import Ref

LONGEST = 128  # the length of the inner axis from which a product by itself is as quick


class Term(NamedTuple):
    """What line `at` adds to a sum."""

    ref: Ref
    at: int


class Product(NamedTuple):
    """A term that line `made` makes: (P, M, K) @ (P, K, N), or without `b` Σₖ (P, M, K)."""

    term: Term
    made: int
    a: Ref
    b: Ref | None

    @property
    def kind(self) -> Any:
        """What products have in common that can be put together."""
        right = self.b and (self.b.shape[2], inner(self.b))
        return self.a.shape[:2], self.a.dtype, inner(self.a), right


class Slice(NamedTuple):
    """A term that is zero but for `value`, which goes to `place` in the sum."""

    term: Term
    place: Ref
    value: Ref


Part = Term | Slice | list[Product]


def place_of(part: Part) -> int:
    """The line where a part of a sum is added."""
    if isinstance(part, Term):
        return part.at
    return part.term.at if isinstance(part, Slice) else part[-1].term.at


def adds(line: Line) -> bool:
    """Whether it adds two arrays of one shape."""
    if line.function is not np.add or line.kwargs or len(line.args) != 3:
        return False
    a, b, out = line.args
    return (
        all(type(x) is Ref and x.contiguous for x in line.args)
        and a.shape == b.shape == out.shape
        and a.dtype == b.dtype == out.dtype
    )


def operands_of(line: Line) -> tuple[Ref, Ref | None] | None:
    """The operands of a product or a sum of rows, (P, M, K) and (P, K, N), if K is short."""
    if line.kwargs or type(line.args[0]) is not Ref:
        return None
    if line.function in (np.matmul, np.multiply):
        a, b, out = line.args
        if type(b) is not Ref or a.dtype != b.dtype or not out.contiguous or a.dtype.kind != "f":
            return None
        if len(a.shape) == 3 and len(b.shape) == 2 and a.strides[0] == a.shape[1] * a.strides[1]:
            a = a.seen((a.shape[0] * a.shape[1], a.shape[2]), a.strides[1:])
        outer = a.shape[-1:] == b.shape[-2:-1] == (1,)
        if line.function is np.multiply and not (outer and len(a.shape) == len(b.shape) == 3):
            return None
        if len(a.shape) == len(b.shape) == 2:
            a, b = _led(a), _led(b)
        if len(a.shape) == len(b.shape) == 3 and a.shape[0] == b.shape[0]:
            return (a, b) if a.shape[2] <= LONGEST else None
    elif line.function == np.add.reduce:
        a, axis, dtype, out, _ = line.args
        if dtype is not None or a.dtype != out.dtype or not out.contiguous:
            return None
        if len(a.shape) == 2 and axis in (0, 1, (0,), (1,)):
            a = _led(a)
            a = a if axis in (1, (1,)) else a.swapped
            return (a, None) if a.shape[2] <= LONGEST else None
    return None


def inner(ref: Ref) -> int:
    """Which of the last two axes has its elements next to one another."""
    return 1 if ref.strides[1] == ref.dtype.itemsize != ref.strides[2] else 2


def _led(ref: Ref) -> Ref:
    """With an axis of one in front."""
    return ref.seen((1, *ref.shape), (0, *ref.strides))


def plain(ref: Ref) -> Ref:
    """Without an axis of one in front."""
    return ref.seen(ref.shape[1:], ref.strides[1:]) if ref.shape[0] == 1 else ref
