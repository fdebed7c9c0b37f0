"""What several rules have in common: shares, weight decay, averages, quotients, the step itself.

Results are written into p, the state arrays and scratch buffers; an argument may lie in the buffer
that its result is written to.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array
from .rule import Group, Numbers


def shares(group: Group) -> dict[str, float]:
    """β₁, 1 - β₁, β₂ and 1 - β₂: keep1, take1, keep2 and take2."""
    beta1, beta2 = group["betas"]
    return {"keep1": beta1, "take1": 1 - beta1, "keep2": beta2, "take2": 1 - beta2}


def decay(group: Group, *, decoupled: bool = False) -> float:
    """The number `n["decay"]` for `decayed`: λ, or 1 - η λ where the decay is decoupled from g."""
    weight_decay = float(group["weight_decay"])
    return 1 - float(group["lr"]) * weight_decay if decoupled else weight_decay


def decayed(
    xp: Any, p: Array, g: Array, n: Numbers, group: Group, buffer: Array, *, decoupled: bool = False
) -> Array:
    """g + λ θ, in `buffer`; or g, after θ ← (1 - η λ) θ where the decay is decoupled from g."""
    if not group["weight_decay"]:
        return g
    if decoupled:
        xp.multiply(p, n["decay"], out=p)
        return g
    xp.multiply(p, n["decay"], out=buffer)
    return xp.add(g, buffer, out=buffer)


def average(xp: Any, m: Array, g: Array, keep: Array, take: Array, buffer: Array) -> None:
    """m ← keep · m + take · g; `buffer` then holds take · g."""
    xp.multiply(m, keep, out=m)
    xp.multiply(g, take, out=buffer)
    xp.add(m, buffer, out=m)


def normalized(xp: Any, g: Array, v: Array, eps: Array, buffer: Array) -> Array:
    """g / (√v + ε), in `buffer`, which may be that of v, not that of g."""
    xp.sqrt(v, out=buffer)
    xp.add(buffer, eps, out=buffer)
    return xp.divide(g, buffer, out=buffer)


def descend(xp: Any, p: Array, direction: Array, rate: Any, buffer: Array) -> None:
    """θ ← θ - rate · direction."""
    xp.multiply(direction, rate, out=buffer)
    xp.subtract(p, buffer, out=p)
