"""`Sample`: an op, arguments to call it with, and NumPy's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import numpy as np

from ...engine import OPS, Op, ops

Host = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Draw:
    """A random argument: uniform in [low, high), floating ("f"), integer ("i") or boolean ("b").

    "s": a whole number plus an offset of [low, high), away from the steps of `floor` and the like.
    """

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    kind: str = "f"

    def __call__(self, rng: np.random.Generator, dtype: Any) -> Host:
        if self.kind == "b":
            return np.asarray(rng.random(self.shape) < 0.5)
        if self.kind == "i":
            return np.asarray(rng.integers(int(self.low), int(self.high), self.shape))
        if self.kind == "s":
            whole = rng.integers(-3, 4, self.shape)
            return np.asarray(whole + rng.uniform(self.low, self.high, self.shape)).astype(dtype)
        return np.asarray(rng.uniform(self.low, self.high, self.shape)).astype(dtype)

    def at(self, shape: tuple[int, ...]) -> Draw:
        """The same values in another shape."""
        return replace(self, shape=shape)


def real(*shape: int, low: float = -2.0, high: float = 2.0) -> Draw:
    """A floating argument."""
    return Draw(shape, low, high)


def steps(*shape: int) -> Draw:
    """A floating argument whose elements are away from whole numbers and from their halves."""
    return Draw(shape, 0.15, 0.4, "s")


def ints(*shape: int, low: int = -5, high: int = 6) -> Draw:
    """An int64 argument of [low, high)."""
    return Draw(shape, low, high, "i")


def bools(*shape: int) -> Draw:
    """A boolean argument."""
    return Draw(shape, kind="b")


@dataclass(frozen=True)
class Sample:
    """One call of an op, and what it must give.

    Attributes:
        op: the op's name in `minigrad.engine.OPS`.
        inputs: its arguments: a `Draw`, any function (rng, dtype) → array, or a constant (a number,
            None, a host array).
        reference: NumPy's answer, `reference(*inputs, **params)`.
        params: keyword arguments.
        orders: the derivatives to check: (1, 2), (1,) where the second is zero or infinite, () for
            an op without a derivative.
        torch: PyTorch's answer, to compare values and gradients with: the dotted name of a function
            of the inputs, or `f(torch, *inputs)`.
        call: what to call in place of the public function of the op's name, e.g. to pass a list.
        label: tells two samples of one op apart.
        constant: positions of floating inputs that get no gradient.
        tolerance: of the value in float64, absolute and relative.
    """

    op: str
    inputs: tuple[Any, ...]
    reference: Callable[..., Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    orders: tuple[int, ...] = (1, 2)
    torch: str | Callable[..., Any] | None = None
    call: Callable[..., Any] | None = None
    label: str = ""
    constant: tuple[int, ...] = ()
    tolerance: float = 1e-12

    def __str__(self) -> str:
        notes = [self.label] if self.label else [f"{k}={v}" for k, v in self.params.items()]
        return f"{self.op}({', '.join(notes)})" if notes else self.op

    @property
    def registered(self) -> Op:
        """The op."""
        return OPS[self.op]

    def __call__(self, *inputs: Any) -> Any:
        """minigrad's answer."""
        return (self.call or getattr(ops, self.op))(*inputs, **self.params)

    def expected(self, *inputs: Any) -> Any:
        """NumPy's answer."""
        return self.reference(*inputs, **self.params)

    def expected_from_torch(self, torch: Any, *inputs: Any) -> Any:
        """PyTorch's answer."""
        if callable(self.torch):
            return self.torch(torch, *inputs)
        return attrgetter(str(self.torch))(torch)(*inputs)

    def draw(self, seed: int = 0, dtype: Any = "float64") -> list[Any]:
        """The arguments as host arrays, numbers and None."""
        rng = np.random.default_rng([seed, *self.op.encode()])
        inputs = [a(rng, dtype) if callable(a) else a for a in self.inputs]
        floating = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs]
        return [x.astype(dtype) if f else x for x, f in zip(inputs, floating, strict=True)]

    def differentiated(self, inputs: Sequence[Any]) -> list[int]:
        """The positions of the inputs that get a gradient."""
        if not self.orders:
            return []
        floating = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs]
        return [i for i, yes in enumerate(floating) if yes and i not in self.constant]

    def reshaped(self, *shapes: tuple[int, ...]) -> Sample:
        """An elementwise sample with its arguments in other shapes, one after the other."""
        given = iter(shapes)
        inputs = tuple(a.at(next(given)) if isinstance(a, Draw) else a for a in self.inputs)
        return replace(self, inputs=inputs)
