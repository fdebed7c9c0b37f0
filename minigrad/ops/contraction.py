"""Einstein summation."""

from __future__ import annotations

import math
from typing import Any

from .. import backend
from ..backend import Array
from ..engine import function, op
from ..errors import ConfigError, ShapeError
from .shape import diagonal, permute_dims

__all__ = ["einsum"]


@op
def _contract(xp: Any, a: Array, b: Array, /, *, left: str, right: str, out: str) -> Array:
    """Σ a · b over the axes not in `out`: one batched matrix product.

    Axes are named by letters, each once in an operand. Each of `left` is in `right` or in `out`,
    and the other way round, so that the gradients are contractions of the same kind.
    """
    batch = [c for c in left if c in right and c in out]
    inner = [c for c in left if c in right and c not in out]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    size = dict(zip(left + right, a.shape + b.shape, strict=True))
    lead = tuple(size[c] for c in batch)
    m, k, n = (math.prod(size[c] for c in names) for names in (rows, inner, columns))
    a = a.transpose([left.index(c) for c in batch + rows + inner]).reshape((*lead, m, k))
    b = b.transpose([right.index(c) for c in batch + inner + columns]).reshape((*lead, k, n))
    found = batch + rows + columns
    y = backend.matmul(a, b).reshape(tuple(size[c] for c in found))
    return y.transpose([found.index(c) for c in out])


_contract.defvjp(
    lambda g, _y, _a, b, *, left, right, out: _contract(g, b, left=out, right=right, out=left),
    lambda g, _y, a, _b, *, left, right, out: _contract(g, a, left=out, right=left, out=right),
)


@function
def einsum(subscripts: str, /, *operands: Any) -> Any:
    """Einstein summation: the sum of products that `subscripts` names, such as "bij,bjk->bik".

    Letters name axes, `...` stands for the axes not named, which broadcast. Without `->` the
    result has the letters that occur once, in alphabetical order. Several operands are contracted
    from left to right, two at a time, each pair by one matrix product: give them in a good order.

    Raises: ConfigError for subscripts that make no sense; ShapeError if axes of one letter differ.

    >>> import minigrad as mg
    >>> a = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> mg.einsum("ij,j->i", a, mg.tensor([1.0, 10.0]))
    tensor([21., 43.])
    """
    terms, out = _parse(subscripts, operands)
    sizes: dict[str, int] = {}
    for term, x in zip(terms, operands, strict=True):
        for c, n in zip(term, x.shape, strict=True):
            if sizes.setdefault(c, n) != n and 1 not in (sizes[c], n):
                raise ShapeError(
                    f"einsum: {subscripts!r}: axis {c!r} has lengths {sizes[c]} and {n}"
                )
            sizes[c] = max(sizes[c], n) if 0 not in (sizes[c], n) else 0
    xs = [_distinct(x, term) for x, term in zip(operands, terms, strict=True)]
    x, term = xs[0]
    for i, (y, other) in enumerate(xs[1:], start=1):
        later = set(out).union(*(t for _, t in xs[i + 1 :]))
        x, term = _pair(x, term, y, other, later)
    x, term = _reduced(x, term, set(out))
    return x if term == out else permute_dims(x, tuple(term.index(c) for c in out))


def _pair(x: Any, left: str, y: Any, right: str, later: set[str]) -> tuple[Any, str]:
    """The product of two operands, summed over the axes nobody needs later."""
    x, left = _reduced(x, left, later | set(right))
    y, right = _reduced(y, right, later | set(left))
    # An axis of length 1 that broadcasts against the other operand is none at all
    for c in set(left) & set(right):
        n, m = x.shape[left.index(c)], y.shape[right.index(c)]
        if n != m:
            if n == 1:
                x, left = x.sum(axis=left.index(c)), left.replace(c, "")
            else:
                y, right = y.sum(axis=right.index(c)), right.replace(c, "")
    x, left = _reduced(x, left, later | set(right))
    y, right = _reduced(y, right, later | set(left))
    out = "".join(c for c in dict.fromkeys(left + right) if c in later)
    return _contract(x, y, left=left, right=right, out=out), out


def _reduced(x: Any, term: str, needed: set[str]) -> tuple[Any, str]:
    """x summed over the axes that are not needed."""
    axes = tuple(i for i, c in enumerate(term) if c not in needed)
    if axes:
        x, term = x.sum(axis=axes), "".join(c for c in term if c in needed)
    return x, term


def _distinct(x: Any, term: str) -> tuple[Any, str]:
    """x with each letter once: a repeated one means the diagonal."""
    for c in term:
        while term.count(c) > 1:
            i = term.index(c)
            j = term.index(c, i + 1)
            x = diagonal(x, axis1=i, axis2=j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    return x, term


def _parse(subscripts: str, operands: tuple[Any, ...]) -> tuple[list[str], str]:
    """The letters of each operand and of the result; letters of its own for an ellipsis."""
    inputs, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise ConfigError(
            f"einsum: {subscripts!r} speaks of {len(terms)} operands, {len(operands)} are given"
        )
    if not all(c.isalpha() for c in (inputs + out).replace("...", "").replace(",", "")):
        raise ConfigError(f"einsum: {subscripts!r}: axes are letters, and ... for the others")
    unnamed = 0
    for term, x in zip(terms, operands, strict=True):
        named = len(term.replace("...", ""))
        if named > x.ndim or (named < x.ndim and "..." not in term):
            raise ShapeError(f"einsum: {subscripts!r}: {term!r} for an operand of shape {x.shape}")
        unnamed = max(unnamed, x.ndim - named) if "..." in term else unnamed
    own = "".join(chr(0x391 + i) for i in range(unnamed))  # Greek capitals: not typed by anybody
    expanded = []
    for term, x in zip(terms, operands, strict=True):
        missing = x.ndim - len(term.replace("...", ""))
        expanded.append(term.replace("...", own[unnamed - missing :] if missing else ""))
    letters = "".join(expanded)
    if not arrow:
        out = "..." + "".join(sorted(c for c in set(letters) - set(own) if letters.count(c) == 1))
    out = out.replace("...", own)
    if len(set(out)) < len(out) or not set(out) <= set(letters):
        raise ConfigError(
            f"einsum: {subscripts!r}: each letter of the result is there once, and in an operand"
        )
    return expanded, out
