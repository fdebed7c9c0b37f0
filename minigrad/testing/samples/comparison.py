"""Samples of comparisons, logic and tests for special values. None has a derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sample import Sample, bools, ints, real

SAMPLES: list[Sample] = []


def _add(names: str, *inputs: Any, label: str = "") -> None:
    for name in names.split():
        reference = getattr(np, name)
        SAMPLES.append(Sample(name, inputs, reference, orders=(), label=label, torch=None))


COMPARISONS = "equal not_equal less less_equal greater greater_equal"
_add(COMPARISONS, ints(3, 4, low=0, high=3), ints(4, low=0, high=3))
_add(COMPARISONS, real(3, 4), 0.5, label="a number")
_add("logical_and logical_or logical_xor", bools(3, 4), bools(4))
_add("logical_not", ints(3, 4, low=0, high=2))
_add("bitwise_and bitwise_or bitwise_xor", ints(3, 4), ints(4))
_add("bitwise_and bitwise_or bitwise_xor", bools(3, 4), bools(4), label="booleans")
_add("bitwise_invert", ints(3, 4))
_add("bitwise_invert", bools(3, 4), label="booleans")
_add("bitwise_left_shift bitwise_right_shift", ints(3, 4), ints(4, low=0, high=5))
_add("isnan isinf isfinite signbit", real(3, 4))
