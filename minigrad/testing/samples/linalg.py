"""Samples of products, sorting and searching."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from ...engine import ops
from .activation import _gelu, _sigmoid
from .sample import Sample, ints, real

A, B, W = real(3, 4), real(4, 5), real(5, 4)
STEPS = np.array([1.0, 2.0, 2.0, 5.0])


def _linear(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return x @ weight.T + bias


def _torch_linear(torch: Any, *args: Any) -> Any:
    return torch.nn.functional.linear(*args)


def _dense(
    activation: str, *inputs: Any, reference: Callable[[Any], Any], label: str = ""
) -> Sample:
    """`linear` with an activation. Bias: an array, or None."""
    where = "" if activation == "tanh" else "nn.functional."

    def call(x: Any, weight: Any, bias: Any, *, activation: str) -> Any:
        return ops.linear(x, weight, bias, activation=activation)

    def torch(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
        y = torch.nn.functional.linear(x, weight, bias)
        return attrgetter(where + activation)(torch)(y)

    return Sample(
        "dense",
        inputs,
        lambda x, w, b, *, activation: reference(_linear(x, w, 0.0 if b is None else b)),
        {"activation": activation},
        call=call,
        torch=torch,
        label=f"{activation} {label}".strip(),
        tolerance=2e-12,
    )


def _contract(a: Any, b: Any, *, left: str, right: str, out: str) -> Any:
    return np.einsum(f"{left},{right}->{out}", a, b)


def _argsort(x: Any, *, axis: int = -1, descending: bool = False) -> Any:
    return np.argsort(-x if descending else x, axis, kind="stable")


def _einsum(subscripts: str, *inputs: Any, torch: bool = True) -> Sample:
    return Sample(
        "contract",
        inputs,
        lambda *xs: np.einsum(subscripts, *xs),
        call=lambda *xs: ops.einsum(subscripts, *xs),
        torch=(lambda t, *xs: t.einsum(subscripts, *xs)) if torch else None,
        label=subscripts,
    )


SAMPLES = [
    Sample("matmul", (A, B), np.matmul, torch="matmul"),
    Sample("matmul", (real(4), real(4)), np.matmul, torch="matmul", label="vectors"),
    Sample("matmul", (real(4), B), np.matmul, torch="matmul", label="row"),
    Sample("matmul", (A, real(4)), np.matmul, torch="matmul", label="column"),
    Sample("matmul", (real(2, 3, 4), B), np.matmul, torch="matmul", label="3-D, 2-D"),
    Sample("matmul", (A, real(2, 4, 5)), np.matmul, torch="matmul", label="2-D, 3-D"),
    Sample("matmul", (real(2, 3, 4), real(2, 4, 5)), np.matmul, torch="matmul", label="stacks"),
    Sample("matmul", (real(2, 1, 3, 4), real(3, 4, 2)), np.matmul, torch="matmul", label="4-D"),
    Sample("matmul", (real(4), real(2, 4, 3)), np.matmul, torch="matmul", label="row, 3-D"),
    Sample("matmul", (real(2, 3, 4), real(4)), np.matmul, torch="matmul", label="3-D, column"),
    Sample("matmul", (real(2, 3, 0), real(0, 5)), np.matmul, label="empty"),
    Sample("matmul", (ints(3, 4), ints(4, 2)), np.matmul, orders=(), label="integers"),
    Sample("linear", (real(2, 3, 4), W, real(5)), _linear, torch=_torch_linear),
    Sample("linear", (real(3, 4), W), _linear, torch=_torch_linear, label="no bias"),
    Sample("linear", (real(4), W, real(5)), _linear, torch=_torch_linear, label="vector"),
    Sample("linear", (real(0, 4), W, real(5)), _linear, label="empty"),
    _dense("gelu", real(2, 3, 4), W, real(5), reference=_gelu),
    _dense("relu", real(2, 3, 4), W, real(5), reference=lambda z: np.maximum(z, 0)),
    _dense("relu", real(3, 4), W, None, reference=lambda z: np.maximum(z, 0), label="no bias"),
    _dense("sigmoid", real(3, 4), W, real(5), reference=_sigmoid),
    _dense("silu", real(3, 4), W, real(5), reference=lambda z: z * _sigmoid(z)),
    _dense("silu", real(4), W, real(5), reference=lambda z: z * _sigmoid(z), label="vector"),
    _dense("tanh", real(3, 4), W, real(5), reference=np.tanh),
    _dense("tanh", real(3, 4), W, None, reference=np.tanh, label="no bias"),
    _dense("tanh", real(0, 4), W, real(5), reference=np.tanh, label="empty"),
    Sample(
        "contract",
        (real(2, 3, 4), real(4, 2)),
        _contract,
        {"left": "bij", "right": "jb", "out": "ib"},
    ),
    _einsum("bij,bjk->bik", real(2, 3, 4), real(2, 4, 5)),
    _einsum("ij,jk", A, B),
    _einsum("i,j->ji", real(3), real(4)),
    _einsum("ij,ij->", A, A),
    _einsum("...i,ij", real(2, 3, 4), B),
    _einsum("b...i,...i->...b", real(2, 1, 4), real(3, 4)),
    _einsum("iij,jkk->ik", real(3, 3, 4), real(4, 2, 2)),
    _einsum("ij,jk,kl,i->l", A, B, real(5, 2), real(3)),
    _einsum("a,ab->b", real(1), real(3, 4), torch=False),
    Sample("argsort", (ints(3, 8, low=0, high=4),), _argsort, orders=()),
    Sample("argsort", (ints(9, 3),), _argsort, {"axis": 0, "descending": True}, orders=()),
    Sample("searchsorted", (STEPS, real(3, 4, low=0, high=6)), np.searchsorted, orders=()),
    Sample(
        "searchsorted",
        (STEPS[::-1].copy(), ints(7, low=0, high=7), np.array([3, 2, 1, 0])),
        lambda a, v, sorter: np.searchsorted(a, v, "right", sorter),
        call=lambda a, v, sorter: ops.searchsorted(a, v, sorter=sorter, side="right"),
        orders=(),
        label="right",
    ),
    Sample("unique_values", (ints(3, 8, low=0, high=9),), np.unique, orders=()),
    Sample(
        "unique_all",
        (ints(3, 8, low=0, high=9),),
        lambda x: np.unique(x, return_index=True, return_inverse=True, return_counts=True),
        call=lambda x: tuple(ops.unique_all(x)),
        orders=(),
    ),
]
