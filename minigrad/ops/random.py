"""Random tensors, drawn from the stream of their device: `manual_seed` repeats them."""

from __future__ import annotations

from typing import Any

from ..backend import device as get_device
from ..engine import Tensor, function, wrap
from ..errors import ConfigError, ShapeError
from .creation import Shape, Spec, shape_of
from .dtypes import get_default_dtype

__all__ = ["bernoulli", "normal", "rand", "randint", "randn", "randperm", "uniform"]


def _leaf(data: Any, requires_grad: bool) -> Tensor:
    t = wrap(data)
    return t.requires_grad_() if requires_grad else t


def _numbers(what: str, instead: str, **given: Any) -> None:
    """Raise for arrays in place of numbers."""
    for name, value in given.items():
        if getattr(value, "ndim", 0):
            raise ShapeError(
                f"{what}: {name} is one number for all, got shape {value.shape}; write {instead}"
            )


@function
def uniform(
    low: float = 0.0,
    high: float = 1.0,
    shape: Shape = (),
    *,
    dtype: Any = None,
    device: Spec = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers of U[low, high)."""
    _numbers("uniform", "low + (high - low) * mg.rand(shape)", low=low, high=high)
    rng = get_device(device).rng
    data = rng.uniform(low, high, shape_of(shape, "uniform"), dtype or get_default_dtype())
    return _leaf(data, requires_grad)


@function
def normal(
    mean: float = 0.0,
    std: float = 1.0,
    shape: Shape = (),
    *,
    dtype: Any = None,
    device: Spec = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers of N(mean, std²).

    Raises: ConfigError if std < 0.
    """
    _numbers("normal", "mean + std * mg.randn(shape)", mean=mean, std=std)
    if std < 0:
        raise ConfigError(f"normal: std is {std}, expected a number >= 0")
    rng = get_device(device).rng
    data = rng.normal(mean, std, shape_of(shape, "normal"), dtype or get_default_dtype())
    return _leaf(data, requires_grad)


@function
def rand(
    *shape: Any, dtype: Any = None, device: Spec = None, requires_grad: bool = False
) -> Tensor:
    """Numbers of U[0, 1): `rand(2, 3)` or `rand((2, 3))`.

    >>> import minigrad as mg
    >>> mg.rand(2, 3).shape
    (2, 3)
    """
    size = shape[0] if len(shape) == 1 else shape
    return uniform(0.0, 1.0, size, dtype=dtype, device=device, requires_grad=requires_grad)


@function
def randn(
    *shape: Any, dtype: Any = None, device: Spec = None, requires_grad: bool = False
) -> Tensor:
    """Numbers of N(0, 1): `randn(2, 3)` or `randn((2, 3))`."""
    size = shape[0] if len(shape) == 1 else shape
    return normal(0.0, 1.0, size, dtype=dtype, device=device, requires_grad=requires_grad)


@function
def randint(
    low: int, high: int, shape: Shape = (), *, dtype: Any = "int64", device: Spec = None
) -> Tensor:
    """Integers of [low, high).

    Raises: ConfigError unless low < high.
    """
    if low >= high:
        raise ConfigError(f"randint: no integer is >= {low} and < {high}")
    return wrap(get_device(device).rng.integers(low, high, shape_of(shape, "randint"), dtype))


@function
def randperm(n: int, *, device: Spec = None) -> Tensor:
    """0 … n-1 in random order."""
    return wrap(get_device(device).rng.permutation(n))


@function
def bernoulli(p: float, shape: Shape = (), *, dtype: Any = None, device: Spec = None) -> Tensor:
    """1 with probability p, else 0.

    Raises: ConfigError unless 0 ≤ p ≤ 1.
    """
    _numbers("bernoulli", "mg.rand(p.shape) < p", p=p)
    if not 0 <= p <= 1:
        raise ConfigError(f"bernoulli: p is {p}, expected a probability between 0 and 1")
    rng = get_device(device).rng
    return wrap(rng.bernoulli(p, shape_of(shape, "bernoulli"), dtype or get_default_dtype()))
