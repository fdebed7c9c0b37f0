"""Linear algebra: the `linalg` extension of the Python Array API standard, real-valued.

Everything works on the matrices in the last two axes, on any stack of them, and is differentiable
to any order where a derivative exists; each function says where none does.

>>> import minigrad as mg
>>> x = mg.tensor([[2.0, 1.0], [1.0, 2.0]], requires_grad=True)
>>> mg.linalg.slogdet(x).logabsdet.backward()
>>> mg.allclose(x.grad, mg.linalg.inv(x).mT)
True
"""

from __future__ import annotations

from .errors import LinAlgError
from .ops.decompositions import cholesky, eigh, eigvalsh, qr, svd, svdvals
from .ops.linalg import matmul, outer, tensordot, trace, vecdot, vector_norm
from .ops.shape import diagonal, matrix_transpose
from .ops.solving import (
    cross,
    det,
    inv,
    matrix_norm,
    matrix_power,
    matrix_rank,
    pinv,
    slogdet,
    solve,
)

__all__ = [
    "LinAlgError",
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
