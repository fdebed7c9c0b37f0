"""The one way to multiply matrices."""

from __future__ import annotations

from typing import Any

import numpy as np


def matmul(a: Any, b: Any) -> Any:
    """`a @ b` with NumPy's shapes."""
    if a.ndim > 2 and b.ndim == 2:  # (..., K) @ (K, N): one product instead of one per leading index
        return np.matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])
    return a @ b
