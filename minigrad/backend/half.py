"""bfloat16: float32 without its lower 16 bits. NumPy knows it once `ml_dtypes` is imported."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.errors import missing_extra


def bfloat16() -> np.dtype[Any]:
    """The dtype. Raises: MissingExtraError without the package `ml_dtypes`."""
    try:
        import ml_dtypes
    except ModuleNotFoundError as error:
        raise missing_extra("ml_dtypes", extra="cuda13") from error
    return np.dtype(ml_dtypes.bfloat16)


def is_dtype(name: str) -> bool:
    """Whether `name` is that of a dtype, bfloat16 among them."""
    if name == "bfloat16":
        bfloat16()
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


def finfo(dtype: Any) -> Any:
    """`np.finfo`, of bfloat16 too."""
    if np.dtype(dtype).kind != "V":
        return np.finfo(dtype)
    import ml_dtypes

    limits: Any = ml_dtypes.finfo
    return limits(dtype)
