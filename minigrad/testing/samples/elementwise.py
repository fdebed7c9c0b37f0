"""Samples of elementwise arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sample import Sample, bools, ints, real, steps

A, B = real(3, 4), real(4)  # the two arguments broadcast
AWAY = real(4, low=0.3, high=2.0)  # from 0
BASE, EXPONENT = real(3, 4, low=0.5, high=2.0), real(4)
KINDS = (1,)  # a step function: its first derivative is 0, its second is not looked at


def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _remainder(torch: Any, a: Any, b: Any) -> Any:
    return a - torch.floor(a / b).detach() * b  # torch.remainder has no gradient for some b


SAMPLES = [
    Sample("add", (A, B), np.add, torch="add"),
    Sample("add", (A, 1.5), np.add, label="a number"),
    Sample("subtract", (A, B), np.subtract, torch="subtract"),
    Sample("subtract", (1.5, A), np.subtract, label="from a number"),
    Sample("multiply", (A, B), np.multiply, torch="multiply"),
    Sample("multiply", (A, 2), np.multiply, label="a number"),
    Sample("divide", (A, AWAY), np.divide, torch="divide"),
    Sample("divide", (1, AWAY), np.divide, label="a number"),
    Sample("floor_divide", (steps(3, 4), real(4, low=9, high=11)), np.floor_divide, orders=KINDS),
    Sample("remainder", (steps(3, 4), real(4, low=9, high=11)), np.remainder, torch=_remainder),
    Sample("pow", (BASE, EXPONENT), np.power, torch="pow"),
    Sample("pow", (A, 2), np.power, label="square"),
    Sample("pow", (A, 3.0), np.power, label="cube"),
    Sample("pow", (A, 1), np.power, label="itself"),
    Sample("pow", (A, 0), np.power, label="one", orders=(1,)),
    Sample("pow", (BASE, -0.5), np.power, label="inverse root"),
    Sample("pow", (2.0, A), np.power, label="of a number"),
    Sample("negative", (A,), np.negative, torch="negative"),
    Sample("positive", (A,), np.positive, torch="positive"),
    Sample("square", (A,), np.square, torch="square"),
    Sample("sqrt", (BASE,), np.sqrt, torch="sqrt"),
    Sample("reciprocal", (AWAY,), np.reciprocal, torch="reciprocal"),
    Sample("abs", (A,), np.abs, torch="abs"),
    Sample("sign", (A,), np.sign, orders=KINDS, torch="sign"),
    Sample("floor", (steps(3, 4),), np.floor, orders=KINDS, torch="floor"),
    Sample("ceil", (steps(3, 4),), np.ceil, orders=KINDS, torch="ceil"),
    Sample("trunc", (steps(3, 4),), np.trunc, orders=KINDS, torch="trunc"),
    Sample("round", (steps(3, 4),), np.round, orders=KINDS, torch="round"),
    Sample("round", (A,), np.round, {"decimals": 1}, orders=KINDS),
    Sample("copysign", (A, AWAY), np.copysign, torch="copysign"),
    Sample("nextafter", (A, B), np.nextafter, orders=()),
    Sample("where", (bools(3, 4), A, B), np.where, torch="where"),
    Sample("where", (bools(4), A, 0.0), np.where, label="a number"),
    Sample("maximum", (A, B), np.maximum, torch="maximum"),
    Sample("maximum", (A, 0.5), np.maximum, label="a number"),
    Sample("minimum", (A, B), np.minimum, torch="minimum"),
    Sample("clip", (A, -1.0, 1.0), _clip, torch="clip", label="numbers"),
    Sample("clip", (A, None, 0.5), _clip, torch="clip", label="above"),
    Sample("clip", (A, 0.5), _clip, torch="clip", label="below"),
    Sample("clip", (A,), _clip, label="nowhere"),
    Sample("clip", (A, real(4, low=-2, high=0), real(low=0.5, high=1)), _clip, torch="clip"),
    Sample("clip", (A, B, real(3, 1)), _clip, torch="clip", label="crossed"),
    Sample("add", (ints(3, 4), ints(4)), np.add, orders=(), label="integers"),
]
