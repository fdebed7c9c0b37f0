"""Elementwise functions."""

import numpy as np

from .source import ALL, FLOATS, INTS, NUMERIC, SIGNED, binary, case, unary

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
