"""Manipulation, indexing, searching, order."""

import numpy as np

from .source import ALL, NUMERIC, case

# -- manipulation --------------------------------------------------------------------------------


@case("broadcast_to")
def _(s):
    x = s.array(ALL)
    shape = (2, *x.shape)
    return lambda xp, x: xp.broadcast_to(x, shape), [x]


@case("broadcast_arrays")
def _(s):
    return lambda xp, x, y: list(xp.broadcast_arrays(x, y)), s.pair(ALL)


@case("concat")
def _(s):
    x = s.array(ALL, min_dims=1)
    axis = s.choose([None, s.axis(x.ndim)])
    y = s.array(str(x.dtype), x.shape)
    return lambda xp, x, y: xp.concat((x, y), axis=axis), [x, y]


@case("stack")
def _(s):
    x = s.array(ALL)
    axis = s.axis(x.ndim + 1)
    return lambda xp, x: xp.stack([x, x], axis=axis), [x]


@case("unstack")
def _(s):
    x = s.array(ALL, min_dims=1)
    axis = s.axis(x.ndim)
    return lambda xp, x: list(xp.unstack(x, axis=axis)), [x]


@case("expand_dims")
def _(s):
    x = s.array(ALL)
    axis = s.axis(x.ndim + 1)
    return lambda xp, x: xp.expand_dims(x, axis=axis), [x]


@case("squeeze")
def _(s):
    x = s.array(ALL, (1, *s.shape(max_dims=2), 1))
    axis = s.choose([0, -1, (0, -1)])
    return lambda xp, x: xp.squeeze(x, axis), [x]


@case("flip")
def _(s):
    x = s.array(ALL)
    axis = s.axes(x.ndim)
    return lambda xp, x: xp.flip(x, axis=axis), [x]


@case("moveaxis")
def _(s):
    x = s.array(ALL, min_dims=2)
    return lambda xp, x: xp.moveaxis(x, (0, 1), (-1, 0)), [x]


@case("permute_dims")
def _(s):
    x = s.array(ALL)
    axes = tuple(int(i) for i in s.rng.permutation(x.ndim))
    return lambda xp, x: xp.permute_dims(x, axes), [x]


@case("repeat")
def _(s):
    x, n = s.array(ALL), s.number(0, 3)
    axis = s.choose([None] + ([s.axis(x.ndim)] if x.ndim else []))
    return lambda xp, x: xp.repeat(x, n, axis=axis), [x]


@case("repeat")
def _(s):
    x = s.array(ALL, min_dims=1)
    counts = s.rng.integers(0, 3, x.shape[-1])
    return lambda xp, x, n: xp.repeat(x, n, axis=-1), [x, counts]


@case("reshape")
def _(s):
    x, copy = s.array(ALL), s.choose([None, True])
    shape = s.choose([(x.size,), (1, x.size)] + ([(-1,)] if x.size else []))
    return lambda xp, x: xp.reshape(x, shape, copy=copy), [x]


@case("roll")
def _(s):
    x = s.array(ALL, min_dims=1)
    axis, shift = s.choose([None, s.axis(x.ndim)]), s.number(-5, 5)
    return lambda xp, x: xp.roll(x, shift, axis=axis), [x]


@case("tile")
def _(s):
    x, n = s.array(ALL), tuple(s.number(0, 2) for _ in range(s.number(0, 3)))
    return lambda xp, x: xp.tile(x, n), [x]


@case("diff")
def _(s):
    x = s.array(NUMERIC, min_dims=1, min_side=1)
    axis, n = s.axis(x.ndim), s.number(0, 2)
    return lambda xp, x: xp.diff(x, axis=axis, n=n), [x]


@case("diff")
def _(s):
    x = s.array(NUMERIC, min_dims=1, min_side=1)
    return lambda xp, x: xp.diff(x, prepend=x, append=x), [x]


# -- indexing, searching, order -----------------------------------------------------------------


@case("take")
def _(s):
    x = s.array(ALL, min_dims=1, min_side=1)
    axis = s.axis(x.ndim)
    return lambda xp, x, i: xp.take(x, i, axis=axis), [x, s.rng.integers(0, x.shape[axis], 3)]


@case("take_along_axis")
def _(s):
    x = s.array(ALL, min_dims=1, min_side=1)
    axis = s.axis(x.ndim)
    shape = list(x.shape)
    shape[axis] = 2
    i = s.rng.integers(0, x.shape[axis], shape)
    return lambda xp, x, i: xp.take_along_axis(x, i, axis=axis), [x, i]


for _name in ("argmax", "argmin"):

    @case(_name)
    def _(s, name=_name):
        x, keepdims = s.array(NUMERIC, min_dims=1, min_side=1), s.choose([True, False])
        axis = s.choose([None, s.axis(x.ndim)])
        return lambda xp, x: getattr(xp, name)(x, axis=axis, keepdims=keepdims), [x]


@case("count_nonzero")
def _(s):
    x, keepdims = s.array(ALL, low=-1, high=2), s.choose([True, False])
    axis = s.axes(x.ndim)
    return lambda xp, x: xp.count_nonzero(x, axis=axis, keepdims=keepdims), [x]


@case("nonzero")
def _(s):
    return lambda xp, x: list(xp.nonzero(x)), [s.array(ALL, min_dims=1, low=-1, high=2)]


@case("searchsorted")
def _(s):
    x1, x2, side = s.array(NUMERIC, min_dims=1, max_dims=1), s.shape(), s.choose(["left", "right"])
    x2 = s.array(str(x1.dtype), x2)
    if s.choose([True, False]):
        order = np.argsort(x1)
        return lambda xp, x1, x2, o: xp.searchsorted(x1, x2, side=side, sorter=o), [x1, x2, order]
    return lambda xp, x1, x2: xp.searchsorted(x1, x2, side=side), [np.sort(x1), x2]


for _name in ("argsort", "sort"):

    @case(_name)
    def _(s, name=_name):
        x = s.array(NUMERIC, min_dims=1)
        axis, down = s.axis(x.ndim), s.choose([True, False])
        return lambda xp, x: getattr(xp, name)(x, axis=axis, descending=down), [x]


for _name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):

    @case(_name)
    def _(s, name=_name):
        x = s.array(ALL, low=-2, high=3)
        if x.dtype.kind == "f":
            x = np.round(x)

        def call(xp, x):
            found = getattr(xp, name)(x)
            return list(found) if name != "unique_values" else found

        return call, [x]
