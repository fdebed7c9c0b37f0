"""Dropout that zeroes more than single elements: whole channels, or a feature at every step."""

from __future__ import annotations

from .. import ops
from ..engine import Tensor
from ..errors import ShapeError
from .dropout import Dropout
from .masks import device_beside, dropout_mask

__all__ = ["AlphaDropout", "Dropout1d", "Dropout2d", "FeatureAlphaDropout", "LockedDropout"]


class Dropout1d(Dropout):
    """In training, zero whole channels with probability p and scale the rest by 1 / (1 - p).

    Shapes: x (N, C, L) or (C, L) → the same. Neighbours within a channel are alike, so that single
    zeros would tell little apart (Tompson et al. 2015, sec. 3.2).
    """

    _places = 1

    def forward(self, x: Tensor) -> Tensor:
        n = self._places
        if x.ndim not in (n + 1, n + 2):
            raise ShapeError(f"{type(self).__name__}: x is {x.shape}, expected {n + 2} axes")
        return _dropped(x, (*x.shape[:-n], *(1,) * n), self.p if self.training else 0.0)


class Dropout2d(Dropout1d):
    """`Dropout1d` for images: x (N, C, H, W) or (C, H, W)."""

    _places = 2


class AlphaDropout(Dropout):
    """Dropout for SELU networks: dropped elements become -1.758, and mean 0 and variance 1 stay.

        y = a · (x where kept, else α′) + b,   a = ((1 - p)(1 + p α′²))^-½,   b = -a p α′

    Raises: ConfigError for p outside [0, 1].
    Paper: Klambauer et al. 2017, sec. 3, α′ = -1.0507 · 1.6733.
    """

    def forward(self, x: Tensor) -> Tensor:
        return _alpha_dropped(x, x.shape, self.p if self.training else 0.0)


class FeatureAlphaDropout(AlphaDropout):
    """`AlphaDropout` of whole channels: x (N, C, …) → the same."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2:
            raise ShapeError(f"FeatureAlphaDropout: x is {x.shape}, expected (N, C, …)")
        shape = x.shape[:2] + (1,) * (x.ndim - 2)
        return _alpha_dropped(x, shape, self.p if self.training else 0.0)


class LockedDropout(Dropout):
    """In training, zero features with one mask for all steps of a sequence: variational dropout.

    Shapes: x (T, B, E), or (B, T, E) with `batch_first`, or (T, E) → the same.
    Paper: Gal & Ghahramani 2016; the name is that of Merity et al. 2018.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> y = nn.LockedDropout(0.5)(mg.ones((6, 2, 3)))
    >>> bool((y == y[0]).all())
    True
    """

    def __init__(self, p: float = 0.5, batch_first: bool = False) -> None:
        super().__init__(p)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (2, 3):
            raise ShapeError(f"LockedDropout: x is {x.shape}, expected (T, B, E) or (T, E)")
        shape = list(x.shape)
        shape[1 if self.batch_first and x.ndim == 3 else 0] = 1
        return _dropped(x, tuple(shape), self.p if self.training else 0.0)


def _dropped(x: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """x times a dropout mask of this shape."""
    mask = dropout_mask(x, shape, p)
    return x if mask is None else ops.multiply(x, mask)


_SATURATED = -1.7580993408473766  # SELU's value far left


def _alpha_dropped(x: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """a · (x where kept, else α′) + b."""
    if not p:
        return x
    if p == 1:
        return x * 0.0
    a = ((1 - p) * (1 + p * _SATURATED**2)) ** -0.5
    kept = device_beside(x).rng.bernoulli(1 - p, shape, x.dtype)
    constant: Tensor = ops.asarray((1 - kept) * (a * _SATURATED) - a * p * _SATURATED)
    return x * (kept * a) + constant
