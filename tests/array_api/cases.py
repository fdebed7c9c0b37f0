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


unary("acos acosh asin asinh atan atanh cos cosh exp expm1", FLOATS, special=True)
unary("log log10 log1p log2", FLOATS, special=True)
unary("reciprocal signbit sin sinh sqrt tan tanh", FLOATS, special=True)
unary("abs ceil floor isfinite isinf isnan negative", SIGNED + FLOATS)
unary("positive round sign square trunc", SIGNED + FLOATS)
unary("abs isfinite isinf isnan negative positive round sign floor", FLOATS, special=True)
unary("bitwise_invert", ["bool", *INTS])
unary("logical_not", ["bool"])
binary("add multiply subtract equal not_equal", NUMERIC)
binary("less less_equal greater greater_equal maximum minimum", NUMERIC)
binary("equal not_equal", ["bool"])
binary("divide atan2 copysign hypot logaddexp nextafter", FLOATS)
binary("add multiply divide maximum minimum", FLOATS, special=True)
binary("floor_divide remainder", NUMERIC, low=1)
binary("pow", FLOATS, low=0.1)
binary("pow", INTS, low=1, high=4, scalars=False)
binary("bitwise_and bitwise_or bitwise_xor", ["bool", *INTS])
binary("bitwise_left_shift bitwise_right_shift", INTS, low=0, high=6, scalars=False)
binary("logical_and logical_or logical_xor", ["bool"])


@case("clip")
def _(s):
    x = s.array(NUMERIC)
    low, high = s.choose([(None, None), (1, None), (None, 4), (1, 4)])
    if s.choose([True, False]):
        low, high = (None if b is None else np.asarray(b, dtype=x.dtype) for b in (low, high))
        given = [b for b in (low, high) if b is not None]
        return lambda xp, x, *g: xp.clip(
            x, None if low is None else g[0], None if high is None else g[-1]
        ), [x, *given]
    return lambda xp, x: xp.clip(x, min=low, max=high), [x]


@case("where")
def _(s):
    x, y = s.pair(ALL)
    c = s.array("bool", x.shape)
    return lambda xp, c, x, y: xp.where(c, x, y), [c, x, y]


# -- creation ----------------------------------------------------------------------------------


for _name in ("zeros", "ones"):

    @case(_name)
    def _(s, name=_name):
        shape, dtype = s.shape(), s.choose([*ALL, None])
        return lambda xp: getattr(xp, name)(shape, dtype=dtype and getattr(xp, dtype)), []


@case("empty")
def _(s):
    shape, dtype = s.shape(), s.choose(ALL)
    return lambda xp: xp.zeros_like(xp.empty(shape, dtype=getattr(xp, dtype))), []


@case("full")
def _(s):
    shape = s.shape()
    value, dtype = s.choose([(3, None), (2.5, "float64"), (True, None), (7, "int16")])
    return lambda xp: xp.full(shape, value, dtype=dtype and getattr(xp, dtype)), []


for _name in ("zeros_like", "ones_like"):

    @case(_name)
    def _(s, name=_name):
        dtype = s.choose([None, *ALL])
        return lambda xp, x: getattr(xp, name)(x, dtype=dtype and getattr(xp, dtype)), [
            s.array(ALL)
        ]


@case("empty_like")
def _(s):
    return lambda xp, x: xp.zeros_like(xp.empty_like(x)), [s.array(ALL)]


@case("full_like")
def _(s):
    return lambda xp, x: xp.full_like(x, 3), [s.array(NUMERIC)]


@case("arange")
def _(s):
    start, stop, step = s.number(-5, 5), s.number(-5, 9), s.choose([1, 2, -1, 0.5])
    dtype = "float64" if step == 0.5 else s.choose([None, "int32", "float64"])
    return lambda xp: xp.arange(start, stop, step, dtype=dtype and getattr(xp, dtype)), []


@case("linspace")
def _(s):
    n, endpoint = s.number(0, 6), s.choose([True, False])
    return lambda xp: xp.linspace(-1, 4, n, endpoint=endpoint, dtype=xp.float64), []


@case("eye")
def _(s):
    n, m, k = s.number(0, 4), s.choose([None, 0, 3]), s.number(-3, 3)
    return lambda xp: xp.eye(n, m, k=k, dtype=xp.float64), []


@case("asarray")
def _(s):
    x, dtype = s.array(NUMERIC), s.choose([None, "float64"])
    return lambda xp, x: xp.asarray(x, dtype=dtype and getattr(xp, dtype), copy=True), [x]


@case("asarray")
def _(s):
    obj = s.choose([[1, 2], [[True], [False]], 3, (1, (2)), []])
    return lambda xp: xp.asarray(obj, dtype=xp.float64 if obj == [] else None), []


@case("from_dlpack")
def _(s):
    return lambda xp, x: xp.from_dlpack(x), [s.array(NUMERIC)]


@case("meshgrid")
def _(s):
    indexing = s.choose(["xy", "ij"])
    vectors = [s.array("float64", (n,)) for n in (2, 3, 1)[: s.number(1, 3)]]
    return lambda xp, *v: list(xp.meshgrid(*v, indexing=indexing)), vectors


for _name in ("tril", "triu"):

    @case(_name)
    def _(s, name=_name):
        k = s.number(-3, 3)
        return lambda xp, x: getattr(xp, name)(x, k=k), [s.array(ALL, min_dims=2)]


# -- dtypes ------------------------------------------------------------------------------------


@case("astype")
def _(s):
    dtype, copy = s.choose(ALL), s.choose([True, False])
    x = s.array(ALL, low=0)
    return lambda xp, x: xp.astype(x, getattr(xp, dtype), copy=copy), [x]


@case("can_cast")
def _(s):
    kind = s.choose(
        [["bool"], FLOATS, SIGNED, INTS[4:]]
    )  # between kinds the standard leaves it open
    a, b = s.choose(kind), s.choose(kind)
    return lambda xp: xp.can_cast(getattr(xp, a), getattr(xp, b)), []


@case("result_type")
def _(s):
    kind = s.choose([FLOATS, SIGNED, INTS[4:]])
    a, b = s.choose(kind), s.choose(kind)
    return lambda xp, x: str(xp.result_type(getattr(xp, a), x)).split(".")[-1], [s.array(b)]


@case("isdtype")
def _(s):
    a = s.choose(ALL)
    kind = s.choose(
        ["bool", "signed integer", "unsigned integer", "integral", "real floating", "numeric",
         "complex floating", ("bool", "integral")]
    )  # fmt: skip
    return lambda xp: xp.isdtype(getattr(xp, a), kind), []


@case("finfo")
def _(s):
    dtype, name = s.choose(FLOATS), s.choose(["bits", "eps", "max", "min", "smallest_normal"])
    return lambda xp: float(getattr(xp.finfo(getattr(xp, dtype)), name)), []


@case("iinfo")
def _(s):
    dtype, name = s.choose(INTS), s.choose(["bits", "max", "min"])
    return lambda xp: int(getattr(xp.iinfo(getattr(xp, dtype)), name)), []


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


# -- statistics ----------------------------------------------------------------------------------


def reduction(names, dtypes, nonempty=False, **options):
    for name in names.split():

        def make(s, name=name):
            x = s.array(dtypes, min_side=1 if nonempty else 0)
            axis, keywords = s.axes(x.ndim), {"keepdims": s.choose([True, False])}
            keywords |= {k: s.choose(v) for k, v in options.items()}
            return lambda xp, x: getattr(xp, name)(x, axis=axis, **keywords), [x]

        case(name)(make)


reduction("all any", ALL)
reduction("max min", NUMERIC, nonempty=True)
reduction("mean", FLOATS, nonempty=True)
reduction("var std", FLOATS, nonempty=True, correction=[0, 0.5])
reduction("sum prod", NUMERIC)


@case("sum")
def _(s):
    return lambda xp, x: xp.sum(x, dtype=xp.float64), [s.array(["int32", "float32"])]


for _name in ("cumulative_sum", "cumulative_prod"):

    @case(_name)
    def _(s, name=_name):
        x = s.array(NUMERIC, min_dims=1, low=-2, high=3)
        axis, initial = s.axis(x.ndim), s.choose([True, False])
        dtype = s.choose([None, "float64"])
        return lambda xp, x: getattr(xp, name)(
            x, axis=axis, include_initial=initial, dtype=dtype and getattr(xp, dtype)
        ), [x]


# -- linear algebra ------------------------------------------------------------------------------


@case("matmul")
def _(s):
    a, b = s.choose([((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 2, 3), (3, 2)),
                     ((2, 1, 2, 3), (4, 3, 2)), ((0, 3), (3, 2))])  # fmt: skip
    dtype = s.choose(NUMERIC)
    return lambda xp, a, b: xp.matmul(a, b), [s.array(dtype, a), s.array(dtype, b)]


@case("matrix_transpose")
def _(s):
    return lambda xp, x: xp.matrix_transpose(x), [s.array(ALL, min_dims=2)]


@case("tensordot")
def _(s):
    axes = s.choose([0, 1, 2, ((0,), (1,)), ((1, 2), (0, 2))])
    shapes = {0: ((2,), (3,)), 1: ((2, 3), (3, 2)), 2: ((2, 3, 4), (3, 4, 2))}
    a, b = shapes.get(axes, ((4, 3, 2), (3, 4, 2)))
    dtype = s.choose(NUMERIC)
    return lambda xp, a, b: xp.tensordot(a, b, axes=axes), [s.array(dtype, a), s.array(dtype, b)]


@case("vecdot")
def _(s):
    x, axis = s.array(NUMERIC, (2, 3, 4)), s.choose([-1, -2])
    y = s.array(str(x.dtype), s.choose([(2, 3, 4), (3, 4)]))
    return lambda xp, x, y: xp.vecdot(x, y, axis=axis), [x, y]


for _name in ("det", "inv", "slogdet"):

    @case(f"linalg.{_name}")
    def _(s, name=_name):
        def call(xp, x):
            found = getattr(xp.linalg, name)(x)
            return list(found) if name == "slogdet" else found

        return call, [s.regular()]


@case("linalg.solve")
def _(s):
    a = s.regular()
    b = s.array(str(a.dtype), s.choose([(3,), (3, 2), (2, 3, 1)]))
    return lambda xp, a, b: xp.linalg.solve(a, b), [a, b]


@case("linalg.cholesky")
def _(s):
    upper = s.choose([True, False])
    return lambda xp, x: xp.linalg.cholesky(x, upper=upper), [s.positive()]


@case("linalg.eigh")
def _(s):
    return lambda xp, x: xp.linalg.eigh(x).eigenvalues, [s.positive()]


@case("linalg.eigh")
def _(s):
    def call(xp, x):
        w, v = xp.linalg.eigh(x)
        return xp.matmul(v * w[..., None, :], xp.matrix_transpose(v))

    return call, [s.positive()]


@case("linalg.eigvalsh")
def _(s):
    return lambda xp, x: xp.linalg.eigvalsh(x), [s.positive()]


@case("linalg.qr")
def _(s):
    x, mode = (
        s.array(FLOATS, s.choose([(4, 3), (3, 4), (2, 3, 3)])),
        s.choose(["reduced", "complete"]),
    )
    return lambda xp, x: [xp.abs(f) for f in xp.linalg.qr(x, mode=mode)], [x]


@case("linalg.svd")
def _(s):
    x, full = s.array(FLOATS, s.choose([(4, 3), (3, 4), (2, 3, 3)])), s.choose([True, False])

    def call(xp, x):
        u, sv, vh = xp.linalg.svd(x, full_matrices=full)
        k = sv.shape[-1]
        return [sv, xp.matmul(u[..., :k] * sv[..., None, :], vh[..., :k, :]), u.shape, vh.shape]

    return call, [x]


@case("linalg.svdvals")
def _(s):
    return lambda xp, x: xp.linalg.svdvals(x), [s.array(FLOATS, s.choose([(4, 3), (2, 3, 4)]))]


@case("linalg.pinv")
def _(s):
    rtol = s.choose([None, 0.1])
    return lambda xp, x: xp.linalg.pinv(x, rtol=rtol), [
        s.array(FLOATS, s.choose([(4, 3), (2, 3, 4)]))
    ]


@case("linalg.matrix_rank")
def _(s):
    rtol = s.choose([None, 0.5])
    return lambda xp, x: xp.linalg.matrix_rank(x, rtol=rtol), [s.regular()]


@case("linalg.matrix_power")
def _(s):
    n = s.number(-2, 4)
    return lambda xp, x: xp.linalg.matrix_power(x, n), [s.regular()]


@case("linalg.matrix_norm")
def _(s):
    keepdims, ord = s.choose([True, False]), s.choose(["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
    x = s.array(FLOATS, s.choose([(3, 2), (2, 3, 3)]))
    return lambda xp, x: xp.linalg.matrix_norm(x, keepdims=keepdims, ord=ord), [x]


@case("linalg.vector_norm")
def _(s):
    x = s.array(FLOATS, min_side=1)
    axis, keepdims, ord = s.axes(x.ndim), s.choose([True, False]), s.choose([0, 1, 2, 3, np.inf])
    return lambda xp, x: xp.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord), [x]


@case("linalg.outer")
def _(s):
    dtype = s.choose(NUMERIC)
    return lambda xp, x, y: xp.linalg.outer(x, y), [s.array(dtype, (3,)), s.array(dtype, (2,))]


@case("linalg.cross")
def _(s):
    dtype, axis = s.choose(NUMERIC), s.choose([-1, -2])
    shape = (2, 3) if axis == -1 else (3, 2)
    return lambda xp, x, y: xp.linalg.cross(x, y, axis=axis), [
        s.array(dtype, shape), s.array(dtype, shape),
    ]  # fmt: skip


for _name in ("diagonal", "trace"):

    @case(f"linalg.{_name}")
    def _(s, name=_name):
        x, k = s.array(NUMERIC, min_dims=2, min_side=1), s.number(-2, 2)
        return lambda xp, x: getattr(xp.linalg, name)(x, offset=k), [x]


class _Flat:
    """`xp.linalg` under the names of `xp`."""

    def __init__(self, xp):
        self.xp = xp

    def __getattr__(self, name):
        return getattr(self.xp.linalg, name, None) or getattr(self.xp, name)


def _in_linalg(make):
    def made(s):
        call, arrays = make(s)
        return lambda xp, *a: call(_Flat(xp), *a), arrays

    return made


for _name in ("matmul", "matrix_transpose", "tensordot", "vecdot"):
    CASES[f"linalg.{_name}"] = [_in_linalg(make) for make in CASES[_name]]
