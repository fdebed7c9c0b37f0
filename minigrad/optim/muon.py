"""Muon: momentum whose singular values are made equal, for the matrices of hidden layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..backend import Array, matmul
from ..errors import ConfigError
from .formulas import average, decay, descend
from .optimizer import Optimizer
from .rule import Arrays, Group, Numbers

Coefficients = tuple[float, float, float]


def _keller(rows: int, columns: int) -> float:
    return math.sqrt(max(1, rows / columns))


def _moonshot(rows: int, columns: int) -> float:
    return 0.2 * math.sqrt(max(rows, columns))


_RATES = {None: _keller, "original": _keller, "match_rms_adamw": _moonshot}


class Muon(Optimizer):
    """Momentum, orthogonalised by Newton and Schulz (Jordan et al. 2024).

    b ← μ b + (1 - μ) g;  d = (1 - μ) g + μ b with Nesterov's look-ahead, else b;
    θ ← (1 - η λ) θ - η r O(d), where O(d) has the singular vectors of d and singular values near 1.

    r = √max(1, rows / columns), or with `adjust_lr_fn="match_rms_adamw"` 0.2 √max(rows, columns),
    with which AdamW's rates and decays serve (Liu et al. 2025). Parameters are matrices: give
    embeddings, biases and gains to AdamW. O iterates X ← a X + (b XXᵀ + c (XXᵀ)²) X `ns_steps`
    times, in the dtype of the parameter (PyTorch rounds to bfloat16, so its steps differ by about
    one percent).
    """

    slots = ("momentum_buffer",)
    switches = ("nesterov",)
    whole = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Coefficients = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        more = {
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, {**options, **more})

    def _check(self, group: Group) -> None:
        super()._check(group)
        for p in group["params"]:
            if p.ndim != 2:
                raise ConfigError(
                    f"Muon: parameters are matrices, got shape {p.shape}; give this one to AdamW"
                )
        if group["adjust_lr_fn"] not in _RATES:
            known = ", ".join(map(repr, _RATES))
            raise ConfigError(f"Muon: adjust_lr_fn is {group['adjust_lr_fn']!r}, expected {known}")
        if len(group["ns_coefficients"]) != 3 or not 0 <= group["ns_steps"] < 100:
            raise ConfigError("Muon: needs three ns_coefficients, and ns_steps in [0, 100)")

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        momentum = group["momentum"]
        own = {"keep": momentum, "take": 1 - momentum, "rate": group["lr"]}
        return {**own, "decay": decay(group, decoupled=True)}

    def _structure(self, group: Group) -> Any:
        fixed = ("ns_coefficients", "ns_steps", "eps", "adjust_lr_fn")
        return super()._structure(group), [group[name] for name in fixed]

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        (b,) = state
        t, u = scratch
        average(xp, b, g, n["keep"], n["take"], t)  # t: take · g
        direction = b
        if group["nesterov"]:
            xp.multiply(b, n["keep"], out=u)
            direction = xp.add(t, u, out=u)
        turn = orthogonalize(
            xp, direction, group["ns_coefficients"], group["ns_steps"], group["eps"]
        )
        xp.multiply(p, n["decay"], out=p)
        xp.multiply(turn, n["rate"], out=t)
        descend(xp, p, t, _RATES[group["adjust_lr_fn"]](*p.shape), t)


def orthogonalize(xp: Any, g: Array, coefficients: Coefficients, steps: int, eps: float) -> Array:
    """A matrix with the singular vectors of g and singular values near 1, by Newton and Schulz."""
    a, b, c = (float(coefficient) for coefficient in coefficients)
    tall = g.shape[0] > g.shape[1]
    x = g.T if tall else g
    x = x / xp.maximum(xp.sqrt((x * x).sum()), eps)  # then no singular value exceeds 1
    for _ in range(steps):
        gram = matmul(x, x.T)
        x = a * x + matmul(b * gram + c * matmul(gram, gram), x)
    return x.T if tall else x
