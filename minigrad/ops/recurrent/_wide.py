"""Recurrent layers of bfloat16 tensors: computed in float32, results rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def in_float32(layer: Callable[..., Any], x: Any, *args: Any, **params: Any) -> Any:
    """layer(x, *args, **params); of bfloat16 arguments, in float32."""
    if x.dtype.kind != "V":
        return layer(x, *args, **params)
    wide = [a if a is None else a.astype(np.float32) for a in (x, *args)]
    return tuple([y.astype(x.dtype) for y in layer(*wide, **params)])
