"""Samples of the kin of relu and hardtanh. Those that are compositions of other ops have none."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sample import Sample, real

A = real(3, 4)
WIDE = real(3, 4, low=-5, high=5)
F = "nn.functional."


def _hardshrink(x: Any, *, lambd: float = 0.5) -> Any:
    return np.where(np.abs(x) > lambd, x, 0)


def _softshrink(x: Any, *, lambd: float = 0.5) -> Any:
    return np.sign(x) * np.maximum(np.abs(x) - lambd, 0)


def _threshold(x: Any, *, threshold: float, value: float) -> Any:
    return np.where(x > threshold, x, value)


def _celu(x: Any, *, alpha: float = 1.0) -> Any:
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))


def _selu(x: Any) -> Any:
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return scale * (np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x)))


SAMPLES = [
    Sample("hardswish", (WIDE,), lambda x: x * np.clip(x / 6 + 0.5, 0, 1), torch=F + "hardswish"),
    Sample("hardshrink", (A,), _hardshrink, orders=(1,), torch=F + "hardshrink"),
    Sample("hardshrink", (A,), _hardshrink, {"lambd": 1.1}, orders=(1,)),
    Sample("softshrink", (A,), _softshrink, orders=(1,), torch=F + "softshrink"),
    Sample("softshrink", (A,), _softshrink, {"lambd": 1.1}, orders=(1,)),
    Sample(
        "threshold",
        (A,),
        _threshold,
        {"threshold": 0.3, "value": 7.0},
        orders=(1,),
        torch=lambda torch, x: torch.nn.functional.threshold(x, 0.3, 7.0),
    ),
    Sample("selu", (A,), _selu, torch=F + "selu"),
    Sample("celu", (A,), _celu, torch=F + "celu"),
    Sample("celu", (A,), _celu, {"alpha": 0.4}),
    Sample(
        "mish",
        (WIDE,),
        lambda x: x * np.tanh(np.logaddexp(0, x)),
        torch=F + "mish",
    ),
    Sample("logsigmoid", (WIDE,), lambda x: -np.logaddexp(0, -x), torch=F + "logsigmoid"),
    Sample("softsign", (A,), lambda x: x / (1 + np.abs(x)), torch=F + "softsign"),
    Sample("tanhshrink", (A,), lambda x: x - np.tanh(x), torch=F + "tanhshrink"),
]
