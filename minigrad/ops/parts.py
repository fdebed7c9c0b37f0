"""Parts of complex numbers, for code that does not know that minigrad's are real."""

from __future__ import annotations

from typing import Any

from ..engine import function, ops

__all__ = ["conj", "imag", "real"]


@function
def real(x: Any, /) -> Any:
    """The real part: x itself, since minigrad has no complex numbers."""
    return x


@function
def imag(x: Any, /) -> Any:
    """The imaginary part: zeros.

    >>> import minigrad as mg
    >>> mg.imag(mg.ones(2))
    tensor([0., 0.])
    """
    return ops.zeros_like(x)


@function
def conj(x: Any, /) -> Any:
    """The complex conjugate: x itself."""
    return x
