"""Weight decay, in the gradient or beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backend import Array


def decay(group: Mapping[str, Any], *, decoupled: bool = False) -> float:
    """The number `n["decay"]` for `decayed`: λ, or 1 - η λ where the decay is decoupled from g."""
    weight_decay = float(group["weight_decay"])
    return 1 - float(group["lr"]) * weight_decay if decoupled else weight_decay


def decayed(
    xp: Any,
    p: Array,
    g: Array,
    n: Mapping[str, Array],
    group: Mapping[str, Any],
    buffer: Array,
    *,
    decoupled: bool = False,
) -> Array:
    """g + λ θ, in `buffer`; or g, after θ ← (1 - η λ) θ where the decay is decoupled from g."""
    if not group["weight_decay"]:
        return g
    if decoupled:
        xp.multiply(p, n["decay"], out=p)
        return g
    xp.multiply(p, n["decay"], out=buffer)
    return xp.add(g, buffer, out=buffer)
