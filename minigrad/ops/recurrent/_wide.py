"""Recurrent layers of bfloat16 tensors: computed in float32, results rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def in_float32(layer: Callable[..., Any]) -> Callable[..., Any]:
    """`layer(x, *args)`, for whose bfloat16 arguments it computes in float32."""

    def run(x: Any, *args: Any, **params: Any) -> Any:
        if x.dtype.kind != "V":
            return layer(x, *args, **params)
        wide = [a if a is None else a.astype(np.float32) for a in (x, *args)]
        return tuple([y.astype(x.dtype) for y in layer(*wide, **params)])

    return run
