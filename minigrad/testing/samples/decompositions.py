"""Samples of linear systems, determinants and matrix decompositions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine import OPS, ops
from .sample import Sample, real


def _near(diagonal: Any, *shape: int) -> Any:
    """Matrices (of `shape`) with these numbers on the diagonal, and small ones around."""

    def draw(rng: np.random.Generator, dtype: Any) -> Any:
        x = rng.uniform(-0.3, 0.3, shape)
        steps = range(min(shape[-2:]))
        x[..., steps, steps] += np.asarray(diagonal)[list(steps)]
        return x.astype(dtype)

    return draw


REGULAR, STACK = _near([2, -1, 3], 3, 3), _near([2, -1, 3], 2, 3, 3)
TALL, WIDE = _near([1, 2, 3], 2, 4, 3), _near([1, 2, 3], 3, 4)
SINGULAR = np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.3, -1.0, 2.0]])
POSITIVE = _near([1, 2, 4], 2, 3, 3)


def _symmetric(x: Any) -> Any:
    return (x + x.swapaxes(-1, -2)) / 2


def _on_symmetric(name: str, function: Any) -> Sample:
    """`function` reads one triangle: it is given (x + xᵀ) / 2, so that all of x counts."""
    return Sample(
        name,
        (POSITIVE,),
        lambda x: function(_symmetric(x)),
        call=lambda x: getattr(ops, name)((x + ops.matrix_transpose(x)) / 2),
    )


def _torch(name: str, **params: Any) -> Any:
    return lambda torch, *xs: getattr(torch.linalg, name)(*xs, **params)


def _reduced(x: Any) -> Any:
    return ops.svd(x, full_matrices=False)


def _np_reduced(x: Any) -> Any:
    return np.linalg.svd(x, full_matrices=False)


def _cofactors(x: Any) -> Any:
    return np.linalg.det(x)[..., None, None] * np.linalg.inv(x).swapaxes(-1, -2)


SAMPLES = [
    Sample("inv", (REGULAR,), np.linalg.inv, torch=_torch("inv")),
    Sample("inv", (STACK,), np.linalg.inv, label="stack"),
    Sample("solve", (REGULAR, real(3, 2)), np.linalg.solve, torch=_torch("solve")),
    Sample("solve", (REGULAR, real(3)), np.linalg.solve, torch=_torch("solve"), label="vector"),
    Sample("solve", (STACK, real(3, 2)), np.linalg.solve, torch=_torch("solve"), label="stack"),
    Sample("solve", (REGULAR, real(2, 3, 1)), np.linalg.solve, label="one matrix"),
    Sample("det", (REGULAR,), np.linalg.det, torch=_torch("det")),
    Sample("det", (STACK,), np.linalg.det, torch=_torch("det"), label="stack"),
    Sample("det", (SINGULAR,), np.linalg.det, orders=(1,), label="singular"),
    Sample("cofactors", (STACK,), _cofactors, call=OPS["cofactors"]),
    Sample("slogdet", (STACK,), np.linalg.slogdet, torch=_torch("slogdet")),
    Sample("pinv", (TALL,), np.linalg.pinv, torch=_torch("pinv")),
    Sample("pinv", (WIDE,), np.linalg.pinv, label="wide"),
    _on_symmetric("cholesky", np.linalg.cholesky),
    _on_symmetric("eigh", np.linalg.eigh),
    _on_symmetric("eigvalsh", np.linalg.eigvalsh),
    Sample("qr", (TALL,), np.linalg.qr),
    Sample("qr", (WIDE,), np.linalg.qr, label="wide"),
    Sample(
        "qr_complete",
        (TALL,),
        lambda x: np.linalg.qr(x, "complete"),
        call=lambda x: ops.qr(x, mode="complete"),
        orders=(),
    ),
    Sample("svd", (TALL,), _np_reduced, call=_reduced),
    Sample("svd", (WIDE,), _np_reduced, call=_reduced, label="wide"),
    Sample("svd", (STACK,), np.linalg.svd, label="square"),
    Sample("svd_full", (WIDE,), np.linalg.svd, call=ops.svd, orders=()),
    Sample("svdvals", (TALL,), np.linalg.svdvals, torch=_torch("svdvals")),
]
