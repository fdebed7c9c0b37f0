"""Statistics, and linear algebra."""

import numpy as np

from .source import ALL, CASES, FLOATS, NUMERIC, case

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
