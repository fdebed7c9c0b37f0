"""Which elements an op chooses, and how rearrangements carry that: see `engine/chosen.py`.

`where`, `clip`, `maximum`, `minimum` and indexing with arrays take some elements of an argument and
leave others. What is left gets the gradient 0, also if its own derivative is infinite or NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import NAMESPACES
from ..engine import ops
from .broadcasting import broadcast_to
from .elementwise import clip, maximum, minimum, where
from .gathering import _take, add_at, put
from .indexing import _getitem, _place
from .interop import _astype, copy
from .shape import _inverse, expand_dims, flip, matrix_transpose, permute_dims, reshape, squeeze

__all__: list[str] = []


def _truth(condition: Any) -> Any:
    """A condition as booleans."""
    return condition if getattr(condition, "dtype", None) == np.bool_ else condition != 0


where.defchoice(
    None,
    lambda m, _shape, condition, _x, _y: _truth(condition) & m,
    lambda m, _shape, condition, _x, _y: ~_truth(condition) & m,
)
maximum.defchoice(
    lambda m, _shape, a, b: ~(a < b) & m,
    lambda m, _shape, a, b: ~(b < a) & m,
)
minimum.defchoice(
    lambda m, _shape, a, b: ~(a > b) & m,
    lambda m, _shape, a, b: ~(b > a) & m,
)


def _within(m: Any, _shape: Any, x: Any, low: Any, high: Any) -> Any:
    inside = m
    if low is not None:
        inside = ~(x < low) & inside
    return inside if high is None else ~(x > high) & inside


clip.defchoice(_within, None, None)


def _taken(m: Any, shape: tuple[int, ...], _x: Any, indices: Any, *, axis: Any) -> Any:
    if m is True:
        nothing = NAMESPACES[type(indices)].zeros(shape, dtype=np.bool_)
        return put(nothing, True, indices, axis=axis)
    return add_at(m.astype(np.float32), indices, axis=axis, shape=shape) > 0


_take.defchoice(_taken, None)


# -- the same elements elsewhere -----------------------------------------------------------------


def _as_they_were(m: Any, to: tuple[int, ...], _x: Any, /, **_: Any) -> Any:
    return m.reshape(to)


def _in_place(m: Any, _shape: Any, _x: Any, /, **_: Any) -> Any:
    return m


for _same in (reshape, expand_dims, squeeze):
    _same.defchoice(_as_they_were, begins=False)
for _same in (ops.alias, copy, _astype, broadcast_to):
    _same.defchoice(_in_place, begins=False)
matrix_transpose.defchoice(lambda m, _shape, _x: m.swapaxes(-1, -2), begins=False)
flip.defchoice(lambda m, _shape, _x, *, axis: flip(m, axis=axis), begins=False)
permute_dims.defchoice(lambda m, _shape, _x, *, axes: m.transpose(_inverse(axes)), begins=False)
# A slice chooses too, but begins no mask: chains of slices are long, and seldom guards.
_getitem.defchoice(lambda m, shape, _x, *, key: _place(m, key=key, shape=shape), begins=False)
