"""One call of every function of the standard, written for any namespace `xp`, with random inputs.

`draw` gives what a call needs; the call is made once with array_api_strict's arrays and once with
Tensors, and must give the same shapes, dtypes and values.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

FLOATS = ["float32", "float64"]
SIGNED = ["int8", "int16", "int32", "int64"]
INTS = [*SIGNED, "uint8", "uint16", "uint32", "uint64"]
NUMERIC = INTS + FLOATS
ALL = ["bool", *NUMERIC]
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 0.5, 2.0]


class Source:
    """Random arguments: host arrays, which a namespace's `asarray` takes."""

    def __init__(self, data):
        self.data = data
        self.rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))

    def choose(self, options):
        return self.data.draw(st.sampled_from(list(options)))

    def number(self, low, high):
        return self.data.draw(st.integers(low, high))

    def shape(self, min_dims=0, max_dims=3, min_side=0, max_side=4):
        return self.data.draw(
            hnp.array_shapes(
                min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side
            )
        )

    def array(self, dtypes=FLOATS, shape=None, low=-8, high=8, special=False, **sides):
        dtype = dtypes if isinstance(dtypes, str) else self.choose(dtypes)
        shape = self.shape(**sides) if shape is None else shape
        if dtype == "bool":
            return self.rng.random(shape) < 0.5
        if dtype.startswith("float"):
            x = np.asarray(self.rng.uniform(low, high, shape)).astype(dtype)
            if special and x.size:
                spots = self.rng.random(shape) < 0.3
                x = np.where(spots, self.rng.choice(SPECIAL, shape), x).astype(dtype)
            return x
        low = max(low, 0) if dtype.startswith("u") else low
        return self.rng.integers(low, high, shape).astype(dtype)

    def pair(self, dtypes, **kwargs):
        """Two arrays of one dtype whose shapes broadcast."""
        dtype = self.choose(dtypes)
        shapes = self.data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3))
        return tuple(self.array(dtype, shape, **kwargs) for shape in shapes.input_shapes)

    def mixed(self, kind):
        """Two arrays whose dtypes promote within one kind."""
        shapes = self.data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2))
        return tuple(self.array(self.choose(kind), shape) for shape in shapes.input_shapes)

    def axis(self, ndim):
        return self.number(-ndim, ndim - 1)

    def axes(self, ndim):
        """None, one axis or several."""
        options = [None]
        if ndim:
            options += [self.axis(ndim), tuple(sorted({self.number(0, ndim - 1) for _ in "ab"}))]
        return self.choose(options)

    def regular(self, n=3):
        lead = self.choose([(), (2,)])
        x = self.rng.uniform(-0.3, 0.3, (*lead, n, n)) + np.diag([2.0, -1.0, 3.0][:n])
        return x.astype(self.choose(FLOATS))

    def positive(self):
        x = self.regular()
        return (x @ x.swapaxes(-1, -2)).astype(x.dtype)


CASES = {}


def case(name):
    def register(make):
        CASES.setdefault(name, []).append(make)
        return make

    return register


def unary(names, dtypes, **kwargs):
    for name in names.split():

        def make(s, name=name):
            x = s.array(dtypes, **kwargs)
            return lambda xp, x: getattr(xp, name)(x), [x]

        case(name)(make)


def binary(names, dtypes, scalars=True, **kwargs):
    for name in names.split():

        def make(s, name=name):
            return lambda xp, x, y: getattr(xp, name)(x, y), s.pair(dtypes, **kwargs)

        def promoting(s, name=name):
            kind = s.choose([k for k in (FLOATS, SIGNED, INTS[4:]) if set(k) <= set(dtypes)])
            x, y = s.mixed(kind)
            if "low" in kwargs:
                x, y = (np.abs(a) % np.asarray(4, a.dtype) + np.asarray(1, a.dtype) for a in (x, y))
            return lambda xp, x, y: getattr(xp, name)(x, y), [x, y]

        def with_number(s, name=name):
            x = s.array([d for d in dtypes if d != "bool"], **kwargs)
            number = 2.0 if x.dtype.kind == "f" else 2
            if s.choose([True, False]):
                return lambda xp, x: getattr(xp, name)(x, number), [x]
            return lambda xp, x: getattr(xp, name)(number, x), [x]

        case(name)(make)
        if set(dtypes) >= set(FLOATS) or set(dtypes) >= set(SIGNED):
            case(name)(promoting)
            if scalars:
                case(name)(with_number)
