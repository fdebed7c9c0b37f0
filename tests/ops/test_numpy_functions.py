"""NumPy's functions on tensors: NumPy's values, gradients, and errors that say what to write."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.numpy_functions import _TABLE
from minigrad.testing.gradcheck import gradcheck

A, B, V = (np.random.default_rng(0).uniform(0.5, 2, s) for s in ((3, 4), (3, 4), (4,)))
S = A @ A.T + np.eye(3)
L = np.linalg

SMOOTH = {
    "max": lambda a: np.max(a, axis=1),
    "amin": lambda a: np.amin(a, 0, keepdims=True),
    "mean": lambda a: np.mean(a, axis=(0, 1)),
    "var": lambda a: np.var(a, axis=0, ddof=1),
    "std": lambda a: np.std(a, correction=1),
    "sum": np.sum,
    "sum positional": lambda a: np.sum(a, 1),
    "prod": lambda a: np.prod(a, axis=-1, keepdims=True),
    "cumsum": np.cumsum,
    "cumsum axis": lambda a: np.cumsum(a, axis=1),
    "cumprod": lambda a: np.cumprod(a, 0),
    "cumulative_sum": lambda a: np.cumulative_sum(a, axis=1, include_initial=True),
    "cumulative_prod": lambda a: np.cumulative_prod(a, axis=1),
    "diff": lambda a: np.diff(a, 2, axis=0),
    "reshape": lambda a: np.reshape(a, (4, 3)),
    "ravel": np.ravel,
    "transpose": np.transpose,
    "transpose axes": lambda a: np.transpose(a, (1, 0)),
    "permute_dims": lambda a: np.permute_dims(a, (1, 0)),
    "swapaxes": lambda a: np.swapaxes(a, 0, 1),
    "moveaxis": lambda a: np.moveaxis(a, 0, 1),
    "expand_dims": lambda a: np.expand_dims(a, (0, 2)),
    "squeeze": lambda a: np.squeeze(np.expand_dims(a, 0)),
    "broadcast_to": lambda a: np.broadcast_to(a, (2, 3, 4)),
    "broadcast_arrays": lambda a: np.broadcast_arrays(a, V)[0],
    "atleast_1d": np.atleast_1d,
    "atleast_2d": lambda a: np.atleast_2d(a[0]),
    "flip": np.flip,
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "roll": lambda a: np.roll(a, 1, axis=0),
    "tile": lambda a: np.tile(a, 2),
    "repeat": lambda a: np.repeat(a, 2),
    "pad": lambda a: np.pad(a, 1, constant_values=3),
    "diag": np.diag,
    "diagonal": lambda a: np.diagonal(a, 1),
    "trace": np.trace,
    "tril": np.tril,
    "triu": lambda a: np.triu(a, 1),
    "meshgrid": lambda a: np.meshgrid(a[0], a[1])[0],
    "concatenate": lambda a: np.concatenate([a, B], axis=1),
    "concat": lambda a: np.concat((B, a), axis=None),
    "stack": lambda a: np.stack([a, B], axis=1),
    "vstack": lambda a: np.vstack([a, V]),
    "hstack": lambda a: np.hstack([a, B]),
    "hstack vectors": lambda a: np.hstack([a[0], V]),
    "split": lambda a: np.split(a, 2, axis=1)[0],
    "unstack": lambda a: np.unstack(a)[0],
    "where": lambda a: np.where(a > 1, a, 0.0),
    "clip": lambda a: np.clip(a, 0.7, 1.5),
    "clip names": lambda a: np.clip(a, min=0.7),
    "take": lambda a: np.take(a, [1, 0, 1], axis=1),
    "take flat": lambda a: np.take(a, [5, 0]),
    "take_along_axis": lambda a: np.take_along_axis(a, np.argsort(A, axis=1), 1),
    "sort": lambda a: np.sort(a, axis=0),
    "copy": np.copy,
    "matrix_transpose": np.matrix_transpose,
    "astype": lambda a: np.astype(a, np.float64),
    "dot": lambda a: np.dot(a, V),
    "dot 3-D": lambda a: np.dot(a, np.stack([B.T, B.T])),
    "vdot": lambda a: np.vdot(a, B),
    "outer": lambda a: np.outer(a, V),
    "tensordot": lambda a: np.tensordot(a, B, axes=([0], [0])),
    "einsum": lambda a: np.einsum("ij,kj->ik", a, B),
    "linalg.norm": L.norm,
    "linalg.norm ord": lambda a: L.norm(a, 1, axis=0),
    "linalg.norm matrix": lambda a: L.norm(a, 2, axis=(0, 1), keepdims=True),
    "linalg.vector_norm": lambda a: L.vector_norm(a, axis=1),
    "linalg.matrix_norm": L.matrix_norm,
    "linalg.svdvals": L.svdvals,
    "linalg.svd": lambda a: L.svd(a, full_matrices=False)[1],
    "linalg.qr": lambda a: L.qr(a)[1],
    "linalg.pinv": L.pinv,
    "linalg.matrix_transpose": L.matrix_transpose,
    "linalg.outer": lambda a: L.outer(a[0], V),
    "linalg.cross": lambda a: L.cross(a[:, :3], B[:, :3]),
    "zeros_like": lambda a: np.zeros_like(a) * a,
    "ones_like": lambda a: np.ones_like(a) * a,
    "full_like": lambda a: np.full_like(a, 3) * a,
    "linalg.det": lambda a: L.det(_square(a)),
    "linalg.inv": lambda a: L.inv(_square(a)),
    "linalg.slogdet": lambda a: L.slogdet(_square(a))[1],
    "linalg.cholesky": lambda a: L.cholesky(_square(a)),
    "linalg.eigh": lambda a: L.eigh(_square(a))[0],
    "linalg.eigvalsh": lambda a: L.eigvalsh(_square(a)),
    "linalg.solve": lambda a: L.solve(_square(a), B),
    "linalg.matrix_power": lambda a: L.matrix_power(_square(a), 2),
    "median": lambda a: np.median(a, axis=1),
    "percentile": lambda a: np.percentile(a, 30, axis=0),
    "quantile": lambda a: np.quantile(a, [0.2, 0.7], method="nearest"),
}

PLAIN = {
    "all": lambda a: np.all(a > 0),
    "any": lambda a: np.any(a > 1, axis=0),
    "argmax": lambda a: np.argmax(a, axis=1),
    "argmin": np.argmin,
    "count_nonzero": lambda a: np.count_nonzero(a > 1, axis=0),
    "nonzero": lambda a: np.nonzero(a > 1)[0],
    "where alone": lambda a: np.where(a > 1)[1],
    "argsort": np.argsort,
    "searchsorted": lambda a: np.searchsorted(np.sort(a[0]), V, side="right"),
    "round": lambda a: np.round(a, 1),
    "around": np.around,
    "unique_values": np.unique_values,
    "unique_counts": lambda a: np.unique_counts(a)[1],
    "unique_inverse": lambda a: np.unique_inverse(a)[0],
    "unique_all": lambda a: np.unique_all(a)[1],
    "linalg.matrix_rank": L.matrix_rank,
}


def _square(a):
    return np.dot(a, np.transpose(a)) + np.eye(3)


@pytest.mark.parametrize("name", SMOOTH | PLAIN)
def test_value(name):
    f = (SMOOTH | PLAIN)[name]
    y = f(mg.asarray(A))
    assert isinstance(y, mg.Tensor)
    np.testing.assert_allclose(y.numpy(), f(A), rtol=1e-9)
    assert y.dtype == f(A).dtype


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient(name):
    assert gradcheck(SMOOTH[name], A)


def test_every_entry_is_tested():
    tested = {name.split()[0] for name in SMOOTH | PLAIN} | {"amax", "min", "empty_like"}
    assert {n.removeprefix("np.") for n in _TABLE} - tested == {"shape", "ndim", "size"}


@pytest.mark.parametrize("name", [n for n in _TABLE if n not in ("np.amax", "np.unstack")])
def test_arguments_stand_where_numpy_has_them(name):
    numpy = np.linalg if "linalg" in name else np
    try:
        theirs = list(inspect.signature(getattr(numpy, name.split(".")[-1])).parameters.values())
    except ValueError:  # written in C, without a signature
        return
    place = {p.name: i for i, p in enumerate(theirs) if p.kind is not p.KEYWORD_ONLY}
    ours = inspect.signature(_TABLE[name]).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    for i, p in enumerate(q for q in ours if q.kind in positional):
        if p.name in place:
            assert place[p.name] == i


def test_shapes():
    x = mg.asarray(A)
    assert np.shape(x) == (3, 4)
    assert np.ndim(x) == 2
    assert np.size(x) == 12
    assert np.size(x, 1) == 4
    assert np.empty_like(x).shape == x.shape
    assert np.amax(x) == np.max(x)


def test_whole_arrays_are_looked_at_on_the_host():
    x = mg.asarray(A).requires_grad_()
    assert np.allclose(x, A)
    assert np.array_equal(x, A)
    assert "tensor" not in np.array2string(x)
    np.testing.assert_allclose(x.detach(), A)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (np.nanmedian, r"np\.nanmedian: .*detach"),
        (lambda x: np.append(x, x), r"use mg\.concat"),
        (np.fft.fft, r"np\.fft: .*t\.detach"),
        (lambda x: np.sum(x, out=np.ones(1)), "never written into"),
        (lambda x: np.sum(x, where=np.ones(2, bool)), r"np\.sum: .*'where'; .*it takes \(a, axis"),
        (np.linalg.eig, r"np\.linalg\.eig: not defined"),
        (lambda x: np.copyto(np.ones(2), x), r"np\.copyto"),
    ],
)
def test_what_is_not_there_says_what_is(call, hint):
    with pytest.raises(TypeError, match=hint):
        call(mg.ones((2, 2)))


def test_on_another_device():
    x = mg.ones((2, 3), device="strict")
    assert np.concatenate([x, x]).device.name == "strict"
    assert np.sum(x, axis=0).tolist() == [2, 2, 2]
