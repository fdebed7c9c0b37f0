"""minigrad: automatic differentiation on a tape, and deep learning for sequences on top of it.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4., 6.])

The functions carry the names and signatures of the Python Array API standard. Layers are in
`mg.nn`, optimisers in `mg.optim`, data sets in `mg.data`, checkpoints in `mg.io`, the training loop
in `mg.training`, pictures in `mg.viz`, gradient checks in `mg.testing`: imported when used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import errors
from .backend import Device, device, get_rng_state, manual_seed, set_rng_state, use_device
from .engine import (
    Node,
    Op,
    RowSparse,
    Tensor,
    checkpoint,
    detect_anomaly,
    elementwise,
    enable_grad,
    fused,
    grad,
    hessian,
    hvp,
    is_grad_enabled,
    jacobian,
    jvp,
    no_grad,
    op,
    scope,
    value_and_grad,
    vjp,
)
from .ops import *  # noqa: F403
from . import ops as _ops
_op_names = getattr(_ops, '__all__', [])

if TYPE_CHECKING:
    from . import data, io, nn, optim, testing, training, viz
    from .backend import cuda

__version__ = "0.1.0"

_LAZY = {"data", "io", "nn", "optim", "testing", "training", "viz"}

__all__ = sorted(
    [
        "Device",
        "Node",
        "Op",
        "RowSparse",
        "Tensor",
        "checkpoint",
        "cuda",
        "data",
        "detect_anomaly",
        "device",
        "elementwise",
        "enable_grad",
        "errors",
        "fused",
        "get_rng_state",
        "grad",
        "hessian",
        "hvp",
        "io",
        "is_grad_enabled",
        "jacobian",
        "jvp",
        "manual_seed",
        "nn",
        "no_grad",
        "op",
        "optim",
        "scope",
        "set_rng_state",
        "testing",
        "training",
        "use_device",
        "value_and_grad",
        "viz",
        "vjp",
        *_op_names,
    ]
)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    if name == "cuda":
        return importlib.import_module(".backend.cuda", __name__)
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
