"""Samples of losses. Those that are compositions of other ops have none: they are no ops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...engine import OPS, ops
from .sample import Draw, Sample, ints, real

WEIGHT = real(5, low=0.5, high=2.0)


def _probabilities(*shape: int) -> Any:
    def draw(rng: np.random.Generator, dtype: Any) -> Any:
        p = rng.random(shape)
        return (p / p.sum(axis=-1, keepdims=True)).astype(dtype)

    return draw


def _cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    axis: int = -1,
) -> Any:
    """The definition, with one-hot targets."""
    x = np.moveaxis(x, axis, -1)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else weight
    surprise = np.log(np.exp(x).sum(axis=-1, keepdims=True)) - x
    if np.asarray(target).dtype.kind == "f":
        q = np.moveaxis(target, axis, -1) * (1 - label_smoothing) + label_smoothing / classes
        loss = (q * w * surprise).sum(axis=-1)
        return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]
    counts = target != ignore_index
    one_hot = np.eye(classes)[np.where(counts, target, 0)]
    q = one_hot * (1 - label_smoothing) + label_smoothing / classes
    loss = np.where(counts, (q * w * surprise).sum(axis=-1), 0)
    total = (one_hot * w).sum(axis=-1)[counts].sum()
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / total}[reduction]


def _sample(logits: Draw, target: Any, weight: Any = None, **params: Any) -> Sample:
    axis = params.get("axis", -1)

    def call(x: Any, t: Any, w: Any, **params: Any) -> Any:
        return ops.cross_entropy(x, t, weight=w, **params)

    def torch(torch: Any, x: Any, t: Any, w: Any) -> Any:
        kept = {k: v for k, v in params.items() if k != "axis"}
        if x.ndim > 1:
            x = torch.movedim(x, axis, 1)
        if t.is_floating_point():
            t = torch.movedim(t, axis, 1)
        w = None if w is None else w.detach()
        return torch.nn.functional.cross_entropy(x, t, w, **kept)

    label = ", ".join(
        [f"{k}={v}" for k, v in params.items()]
        + (["soft"] if callable(target) and not isinstance(target, Draw) else [])
        + (["weight"] if weight is not None else [])
    )
    return Sample(
        "cross_entropy",
        (logits, target, weight),
        _cross_entropy,
        params,
        torch=torch,
        call=call,
        label=label,
        constant=(2,),
    )


def _numbers(
    op: str, losses: Callable[..., Any], orders: tuple[int, ...] = (1, 2), **params: Any
) -> list[Sample]:
    """A loss of numbers in each reduction, and of none. Its targets get a gradient, too."""

    def torch(torch: Any, *args: Any, reduction: str) -> Any:
        return getattr(torch.nn.functional, op)(*args, reduction=reduction, **params)

    def reference(x: Any, target: Any, *, reduction: str, **params: Any) -> Any:
        each = losses(x - target, **params)
        return each if reduction == "none" else getattr(np, reduction)(each)

    return [
        Sample(
            op,
            (real(*shape), real(*shape)),
            reference,
            {"reduction": reduction, **params},
            orders,
            torch=partial(torch, reduction=reduction),
            label=reduction if shape[0] else "empty",
        )
        for shape, reduction in [((3, 4), "mean"), ((3, 4), "sum"), ((3, 4), "none"), ((0,), "sum")]
    ]


ROWS, SOFT, CUBE = real(4, 5), _probabilities(4, 5), real(2, 3, 5)
IDS = ints(4, low=0, high=5)
IGNORED = np.array([1, -100, 4, 0])

SAMPLES = [
    _sample(ROWS, IDS),
    _sample(ROWS, IDS, reduction="sum"),
    _sample(ROWS, IDS, reduction="none"),
    _sample(ROWS, IGNORED),
    _sample(ROWS, np.array([1, 7, 4, 0]), ignore_index=7),
    _sample(ROWS, IGNORED, WEIGHT, label_smoothing=0.1),
    _sample(ROWS, IGNORED, WEIGHT, reduction="none", label_smoothing=0.1),
    _sample(CUBE, ints(2, 3, low=0, high=5)),
    _sample(CUBE, ints(2, 5, low=0, high=3), axis=1),
    _sample(CUBE, ints(2, 5, low=0, high=3), axis=1, reduction="none"),
    _sample(real(5), ints(low=0, high=5)),
    _sample(ROWS, SOFT),
    _sample(ROWS, SOFT, WEIGHT, label_smoothing=0.2),
    _sample(ROWS, SOFT, reduction="none"),
    _sample(CUBE, _probabilities(2, 3, 5), axis=1, reduction="sum"),
    Sample(
        "binary_cross_entropy",
        (real(3, 4, low=0.1, high=0.9), real(3, 4, low=0.1, high=0.9)),
        lambda p, t: -(t * np.log(p) + (1 - t) * np.log(1 - p)),
        call=OPS["binary_cross_entropy"],
        torch=lambda torch, p, t: torch.nn.functional.binary_cross_entropy(p, t, reduction="none"),
    ),
    *_numbers("mse_loss", np.square),
    *_numbers("l1_loss", np.abs, (1,)),
    *_numbers(
        "huber_loss",
        lambda d, delta: np.where(abs(d) <= delta, d * d / 2, delta * (abs(d) - delta / 2)),
        delta=0.7,
    ),
]
