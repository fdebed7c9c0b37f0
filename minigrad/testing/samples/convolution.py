"""Samples of the windows that convolution and pooling are made of: place by place."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine import OPS
from .sample import Sample, real


def _offsets(kernel: Any, out: Any, stride: Any, dilation: Any) -> Any:
    """(index into the windows, index into x) of each element of each window."""
    for k in np.ndindex(*kernel):
        for o in np.ndindex(*out):
            at = tuple(b * s + a * d for a, b, s, d in zip(k, o, stride, dilation, strict=True))
            yield (*k, *o), at


def _windows(x: Any, *, kernel: Any, stride: Any, dilation: Any) -> Any:
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((*x.shape[:2], *kernel, *out), x.dtype)
    for place, at in _offsets(kernel, out, stride, dilation):
        y[(..., *place)] = x[(..., *at)]
    return y


def _add_windows(y: Any, *, size: Any, kernel: Any, stride: Any, dilation: Any) -> Any:
    x = np.zeros((*y.shape[:2], *size), y.dtype)
    for place, at in _offsets(kernel, y.shape[2 + len(size) :], stride, dilation):
        x[(..., *at)] += y[(..., *place)]
    return x


def _both(shape: Any, size: Any, **params: Any) -> list[Sample]:
    seen = _windows(np.zeros((*shape, *size)), **params).shape
    label = f"{len(size)}-D, stride {params['stride']}, dilation {params['dilation']}"
    return [
        Sample(
            "windows", (real(*shape, *size),), _windows, params, call=OPS["windows"], label=label
        ),
        Sample(
            "add_windows",
            (real(*seen),),
            _add_windows,
            {"size": size, **params},
            call=OPS["add_windows"],
            label=label,
        ),
    ]


SAMPLES = [
    *_both((2, 2), (5,), kernel=(3,), stride=(1,), dilation=(1,)),
    *_both((1, 2), (8,), kernel=(2,), stride=(3,), dilation=(2,)),
    *_both((1, 2), (4, 5), kernel=(2, 3), stride=(2, 1), dilation=(1, 2)),
    *_both((2, 0), (3,), kernel=(2,), stride=(1,), dilation=(1,)),
]
