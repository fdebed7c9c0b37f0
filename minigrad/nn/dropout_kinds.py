"""Dropout that zeroes more than single elements: whole channels, or a feature at every step."""

from __future__ import annotations

from .. import ops
from ..engine import Tensor
from ..errors import ShapeError
from .attention import dropout_mask
from .dropout import Dropout

__all__ = ["Dropout1d", "Dropout2d", "LockedDropout"]


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
