"""The rules of a `Batch`: how an array function makes one call for all examples.

Elementwise functions broadcast per example; reductions and rearrangements count their axes from
behind the examples'. What has no rule is `looped`: called once per example, the results stacked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend import NAMESPACES
from .array import Batch, LookedAtValuesError

Axis = int | Sequence[int] | None

_DATA_DEPENDENT = {
    "nonzero", "flatnonzero", "argwhere", "unique", "unique_values", "extract", "compress",
}  # fmt: skip
_WRITES = {"at", "copyto", "fill", "put", "partition"}


def example_of(a: Any, i: int) -> Any:
    """Example i of whatever holds batches."""
    if isinstance(a, Batch):
        return a.example(i)
    return type(a)(example_of(each, i) for each in a) if isinstance(a, list | tuple) else a


def differ(kind: type[Batch], a: Any) -> bool:
    """Whether examples differ in it."""
    if type(a) is kind:
        return not a.shared
    return isinstance(a, list | tuple) and any(differ(kind, each) for each in a)


def wrapped(kind: type[Batch], y: Any, shared: bool) -> Any:
    """Arrays, also in tuples, as batches."""
    if isinstance(y, tuple | list):
        return tuple(wrapped(kind, each, shared) for each in y)
    if type(y) in NAMESPACES:
        return kind(np.asarray(y) if isinstance(y, np.generic) else y, shared)
    return y


def looped(kind: type[Batch], f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """f for each example, the results stacked: right for every function, one call per example."""
    if not differ(kind, list(args)) and not differ(kind, list(kwargs.values())):
        plain = {k: example_of(v, 0) for k, v in kwargs.items()}
        return wrapped(kind, f(*[example_of(a, 0) for a in args], **plain), True)
    name = getattr(f, "__name__", "")
    if name in _DATA_DEPENDENT:
        raise LookedAtValuesError(f"{name}: the shape of the result depends on the values")
    if name in _WRITES:
        args[0].own()
    results = [
        f(*[example_of(a, i) for a in args], **{k: example_of(v, i) for k, v in kwargs.items()})
        for i in range(kind.n)
    ]
    return _stacked(kind, results)


def _stacked(kind: type[Batch], results: list[Any]) -> Any:
    first = results[0]
    if isinstance(first, tuple | list):
        return tuple(_stacked(kind, list(column)) for column in zip(*results, strict=True))
    if first is None:
        return None
    inner = kind.device.inner
    return kind(inner.xp.stack([inner.asarray(r) for r in results]))


def elementwise(
    kind: type[Batch], f: Callable[..., Any], /, *args: Any, out: Any = None, **kwargs: Any
) -> Any:
    """f of the values, once: shapes broadcast per example."""
    several = any(type(a) is kind and not a.shared for a in args)
    ndim = max((a.ndim for a in args if hasattr(a, "ndim")), default=0)
    if out is not None:
        outs = out if isinstance(out, tuple) else (out,)
        if several or not all(o.shared for o in outs):
            several, ndim = True, max(ndim, *(o.ndim for o in outs))
        targets = tuple([o.own() if several else o.value for o in outs])
        raw = [a.aligned(ndim) if type(a) is kind else a for a in args]
        f(*raw, out=targets if len(targets) > 1 else targets[0], **kwargs)
        return out
    raw = [a.aligned(ndim) if type(a) is kind else a for a in args]
    return wrapped(kind, f(*raw, **kwargs), not several)


def behind(axis: Any, ndim: int) -> Any:
    """An axis of an example as one of the batch: counted from behind, so that none is in front."""
    if axis is None:
        return tuple(range(-ndim, 0))
    if isinstance(axis, tuple | list):
        return tuple(behind(a, ndim) for a in axis)
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(int(axis), ndim)
    return axis if axis < 0 else axis - ndim


def reduction(
    kind: type[Batch], f: Callable[..., Any], x: Batch, axis: Axis = None, *args: Any, **kwargs: Any
) -> Any:
    """Over axes, or with None over all of an example."""
    if x.shared:
        return wrapped(kind, f(x.value, axis, *args, **kwargs), True)
    return wrapped(kind, f(x.value, behind(axis, x.ndim), *args, **kwargs), False)


def flat_reduction(
    kind: type[Batch], f: Callable[..., Any], x: Batch, axis: Axis = None, **kwargs: Any
) -> Any:
    """Along one axis, or with None of the flat example, such as argmax and cumsum."""
    if x.shared:
        return wrapped(kind, f(x.value, axis=axis, **kwargs), True)
    if axis is None:
        if kwargs.get("keepdims"):
            return looped(kind, f, x, axis=axis, **kwargs)
        return wrapped(kind, f(x.value.reshape(kind.n, -1), axis=-1, **kwargs), False)
    return wrapped(kind, f(x.value, axis=behind(axis, x.ndim), **kwargs), False)


def along(
    kind: type[Batch], f: Callable[..., Any], x: Batch, /, axis: int = -1, **kwargs: Any
) -> Any:
    """Along one axis, by default the last: sort, argsort."""
    return wrapped(kind, f(x.value, axis=behind(axis, x.ndim), **kwargs), x.shared)


def reshape(kind: type[Batch], f: Any, x: Batch, *shape: Any, **kwargs: Any) -> Any:
    """Another shape for each example."""
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    if x.shared:
        return kind(x.value.reshape(shape, **kwargs), True)
    if -1 in shape:
        rest = math.prod(n for n in shape if n != -1)
        shape = tuple(x.size // max(1, rest) if n == -1 else n for n in shape)
    return kind(x.value.reshape((kind.n, *shape), **kwargs))


def transpose(kind: type[Batch], f: Any, x: Batch, *axes: Any) -> Any:
    """The axes of each example in another order."""
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        axes = tuple(axes[0] or ())
    if x.shared:
        return kind(x.value.transpose(axes or None), True)
    ndim = x.ndim
    order = [a % ndim + 1 for a in axes] if axes else list(range(ndim, 0, -1))
    return kind(x.value.transpose([0, *order]))


def shifted(kind: type[Batch], f: Callable[..., Any], x: Batch, *axes: Any) -> Any:
    """Functions whose arguments are axes: moveaxis, swapaxes."""
    if x.shared:
        return kind(f(x.value, *axes), True)
    return kind(f(x.value, *[behind(a, x.ndim) for a in axes]))


def expand_dims(kind: type[Batch], f: Callable[..., Any], x: Batch, axis: Any) -> Any:
    """New axes of length 1."""
    if x.shared:
        return kind(f(x.value, axis), True)
    added = len(axis) if isinstance(axis, tuple | list) else 1
    return kind(f(x.value, behind(axis, x.ndim + added)))


def squeeze(kind: type[Batch], f: Callable[..., Any], x: Batch, axis: Any = None) -> Any:
    """Without axes of length 1."""
    if x.shared:
        return kind(f(x.value, axis), True)
    if axis is None:
        axis = tuple(a for a, n in enumerate(x.shape) if n == 1)
    return kind(f(x.value, behind(axis, x.ndim)))


def broadcast_to(kind: type[Batch], f: Callable[..., Any], x: Batch, shape: Any) -> Any:
    """Repeated along new axes, per example."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if x.shared:
        return kind(f(x.value, shape), True)
    if x.ndim > len(shape):
        raise ValueError(f"cannot broadcast {x.shape} to {shape}")
    return kind(f(x.aligned(len(shape)), (kind.n, *shape)))


def flip(kind: type[Batch], f: Callable[..., Any], x: Batch, axis: Any = None) -> Any:
    """Axes turned round."""
    if x.shared:
        return kind(f(x.value, axis), True)
    return kind(f(x.value, behind(axis, x.ndim)))


def last_two(kind: type[Batch], f: Callable[..., Any], x: Batch, *args: Any, **kwargs: Any) -> Any:
    """Functions of the matrices in the last two axes, and those without axes: copy, astype."""
    return wrapped(kind, f(x.value, *args, **kwargs), x.shared)


def joined(
    kind: type[Batch], f: Callable[..., Any], arrays: Any, axis: Any = 0, **kwargs: Any
) -> Any:
    """concatenate and stack."""
    arrays = [kind.lift(a) for a in arrays]
    if all(a.shared for a in arrays):
        return kind(f([a.value for a in arrays], axis, **kwargs), True)
    ndim = arrays[0].ndim + (f.__name__ == "stack")
    return kind(f([a.full() for a in arrays], behind(axis, ndim), **kwargs))
