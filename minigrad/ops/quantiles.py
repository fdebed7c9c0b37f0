"""Median and quantiles: differentiable, each comes from one or two elements of x."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import device_of
from ..engine import Tensor, function
from ..errors import ConfigError, DTypeError, ShapeError
from .elementwise import where
from .gathering import take
from .reduction import Axis, axes_of, kept_shape
from .shape import moveaxis, reshape
from .sorting import sort

__all__ = ["median", "quantile"]

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@function
def quantile(
    x: Any,
    q: Any,
    /,
    *,
    axis: Axis = None,
    keepdims: bool = False,
    interpolation: str = "linear",
) -> Any:
    """The value below which a share q of the elements along `axis` lies.

    Between two elements, at the position q · (n - 1), `interpolation` says: "linear", "lower",
    "higher", "midpoint" or "nearest" (a half to the even position). NaN among the elements makes
    NaN. Several shares, a list or vector of k, give a first axis of length k.

    Raises: ShapeError if there is nothing along the axis; ConfigError for q outside [0, 1] or
    another interpolation; DTypeError unless x is floating.

    >>> import minigrad as mg
    >>> mg.quantile(mg.tensor([3.0, 1.0, 2.0, 10.0]), [0.5, 1])
    tensor([ 2.5, 10. ])
    """
    shares = np.asarray(q.numpy() if isinstance(q, Tensor) else q, np.float64)
    if shares.ndim > 1 or not ((shares >= 0) & (shares <= 1)).all():
        raise ConfigError(f"quantile: q is {q}; give a number in [0, 1], or a row of them")
    if interpolation not in METHODS:
        raise ConfigError(f"quantile: interpolation is {interpolation!r}; give one of {METHODS}")
    if x.dtype.kind not in "fV":
        raise DTypeError(f"quantile: x is {x.dtype}; cast it with .astype")
    rows = sort(_last(x, axis, "quantile"), axis=-1)
    n = rows.shape[-1]
    at = shares.reshape(-1) * (n - 1)
    low, high = np.floor(at).astype(np.int64), np.ceil(at).astype(np.int64)
    share = at - low
    if interpolation == "midpoint":
        share = np.where(low == high, 0.0, 0.5)
    elif interpolation != "linear":
        chosen = {"lower": low, "higher": high, "nearest": np.rint(at).astype(np.int64)}
        low, high, share = chosen[interpolation], chosen[interpolation], np.zeros_like(share)
    device = device_of(x.data if isinstance(x, Tensor) else x)
    below = take(rows, device.asarray(low), axis=-1)
    found = below
    if share.any():
        above = take(rows, device.asarray(high), axis=-1)
        found = below + (above - below) * device.asarray(share.astype(x.dtype))
    found = _nan_stays(found, rows)
    shape = kept_shape(x.shape, axis)
    if not keepdims:
        shape = found.shape[:-1]
    return reshape(moveaxis(found, -1, 0), (len(at), *shape) if shares.ndim else shape)


@function
def median(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """The middle element along `axis`; of an even number the lower one of the two, as in PyTorch.

    The mean of the two, NumPy's median, is `quantile(x, 0.5)`. NaN among the elements makes NaN.

    Raises: ShapeError if there is nothing along the axis.

    >>> import minigrad as mg
    >>> mg.median(mg.tensor([[3.0, 1.0, 2.0, 10.0]]), axis=1)
    tensor([2.])
    """
    rows = sort(_last(x, axis, "median"), axis=-1)
    found = rows[..., (rows.shape[-1] - 1) // 2]
    if x.dtype.kind in "fV":
        found = _nan_stays(found[..., None], rows)[..., 0]
    return reshape(found, kept_shape(x.shape, axis)) if keepdims else found


def _last(x: Any, axis: Axis, what: str) -> Any:
    """x with the axes to reduce joined into the last one."""
    axes = axes_of(x.ndim, axis, what)
    n = math.prod(x.shape[a] for a in axes)
    if not n:
        raise ShapeError(
            f"{what}: nothing along axis {axis} of {x.shape}; give one that is not empty"
        )
    k = len(axes)
    x = moveaxis(x, axes, tuple(range(-k, 0))) if k else x
    return reshape(x, (*x.shape[: x.ndim - k], n))


def _nan_stays(found: Any, rows: Any) -> Any:
    """NaN, which sorts last, for rows that have one; they get its gradient."""
    last = rows[..., -1:]
    return where(last == last, found, last)
