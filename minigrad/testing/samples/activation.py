"""Samples of activation functions, softmax and its relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .sample import Sample, real

A = real(3, 4)
F = "nn.functional."


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _softmax(x: Any, *, axis: int = -1) -> Any:
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def _logsumexp(x: Any, **kwargs: Any) -> Any:
    return np.log(np.exp(x).sum(**kwargs))


def _gelu(x: Any, *, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[float])(x / np.sqrt(2)))


def _leaky_relu(x: Any, *, negative_slope: float = 0.01) -> Any:
    return np.where(x > 0, x, negative_slope * x)


def _elu(x: Any, *, alpha: float = 1.0) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(x))


def _softplus(x: Any, *, beta: float = 1.0) -> Any:
    return np.log1p(np.exp(beta * x)) / beta


def _hardtanh(x: Any, *, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    return np.clip(x, min_val, max_val)


def _softmax_grad(g: Any, y: Any, *, axis: int = -1) -> Any:
    return y * (g - (g * y).sum(axis=axis, keepdims=True))


def _log_softmax_grad(g: Any, y: Any, *, axis: int = -1) -> Any:
    return g - np.exp(y) * g.sum(axis=axis, keepdims=True)


SAMPLES = [
    Sample("sigmoid", (A,), _sigmoid, torch="sigmoid"),
    Sample("relu", (A,), lambda x: np.maximum(x, 0), torch="relu"),
    Sample("leaky_relu", (A,), _leaky_relu, torch=F + "leaky_relu"),
    Sample("leaky_relu", (A,), _leaky_relu, {"negative_slope": 0.3}),
    Sample("elu", (A,), _elu, torch=F + "elu"),
    Sample("elu", (A,), _elu, {"alpha": 0.5}),
    Sample("silu", (A,), lambda x: x * _sigmoid(x), torch=F + "silu"),
    Sample("hardtanh", (A,), _hardtanh, torch=F + "hardtanh"),
    Sample("hardtanh", (A,), _hardtanh, {"min_val": -0.5, "max_val": 1.5}),
    Sample("softplus", (A,), _softplus, torch=F + "softplus"),
    Sample("softplus", (A,), _softplus, {"beta": 3.0}),
    Sample("gelu", (A,), _gelu, torch=F + "gelu"),
    Sample(
        "gelu",
        (A,),
        _gelu,
        {"approximate": "tanh"},
        torch=lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),
    ),
    Sample("softmax", (A,), _softmax, torch=lambda torch, x: torch.softmax(x, -1)),
    Sample("softmax", (real(3, 4, 2),), _softmax, {"axis": 1}),
    Sample(
        "log_softmax",
        (A,),
        lambda x, axis=-1: np.log(_softmax(x, axis=axis)),
        torch=lambda torch, x: torch.log_softmax(x, -1),
    ),
    Sample(
        "log_softmax",
        (real(3, 4, 2),),
        lambda x, axis=-1: np.log(_softmax(x, axis=axis)),
        {"axis": 0},
    ),
    Sample("logsumexp", (A,), _logsumexp),
    Sample("logsumexp", (A,), _logsumexp, {"axis": 0}, torch=lambda t, x: t.logsumexp(x, 0)),
    Sample("logsumexp", (real(3, 4, 2),), _logsumexp, {"axis": (0, 2), "keepdims": True}),
    Sample("softmax_grad", (A, A), _softmax_grad, {"axis": -1}),
    Sample("softmax_grad", (A, A), _softmax_grad, {"axis": 0}),
    Sample("log_softmax_grad", (A, A), _log_softmax_grad, {"axis": -1}),
    Sample("log_softmax_grad", (A, A), _log_softmax_grad, {"axis": 0}),
]
