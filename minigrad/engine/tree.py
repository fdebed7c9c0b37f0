"""Nested tuples, lists and dicts of Tensors, as flat lists of their leaves and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of `tree` in order, and the function that puts as many leaves in their places.

    Tuples (named ones too), lists and dicts are branches; None is a part of the structure; all else
    is a leaf.
    """
    leaves: list[Any] = []
    spec = _spec(tree, leaves)

    def rebuild(values: list[Any]) -> Any:
        return _rebuild(spec, iter(values))

    return leaves, rebuild


def structure(tree: Any) -> Any:
    """What two trees have in common when their leaves can be paired."""
    return _spec(tree, [])


def spread(prefix: Any, tree: Any) -> list[Any]:
    """One entry of `prefix` per leaf of `tree`: where prefix ends, its value holds for all below.

    Raises: TypeError if a branch of `prefix` has another shape than the tree there.
    """
    if not isinstance(prefix, tuple | list | dict):
        return [prefix] * len(flatten(tree)[0])
    if type(tree) is not type(prefix) and not (
        isinstance(tree, tuple | list) and isinstance(prefix, tuple | list)
    ):
        raise TypeError(f"{prefix!r} does not fit a {type(tree).__name__}")
    if isinstance(prefix, dict):
        if set(prefix) != set(tree):
            raise TypeError(f"{prefix!r} does not fit the keys {sorted(map(str, tree))}")
        return [entry for key in tree for entry in spread(prefix[key], tree[key])]
    if len(prefix) != len(tree):
        raise TypeError(f"{prefix!r} does not fit {len(tree)} entries")
    return [e for p, t in zip(prefix, tree, strict=True) for e in spread(p, t)]


def _spec(tree: Any, leaves: list[Any]) -> Any:
    """The structure as (type, parts); None for None, and ... for a leaf."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return dict, tuple((key, _spec(value, leaves)) for key, value in tree.items())
    if isinstance(tree, tuple | list):
        return type(tree), tuple(_spec(value, leaves) for value in tree)
    leaves.append(tree)
    return ...


def _rebuild(spec: Any, leaves: Any) -> Any:
    if spec is None:
        return None
    if spec is ...:
        return next(leaves)
    kind, parts = spec
    if kind is dict:
        return {key: _rebuild(part, leaves) for key, part in parts}
    values = [_rebuild(part, leaves) for part in parts]
    return kind(*values) if hasattr(kind, "_fields") else kind(values)
