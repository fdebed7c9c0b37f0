"""Creation, and dtypes."""

from .source import ALL, FLOATS, INTS, NUMERIC, SIGNED, case

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
