"""Kernels that look at values: each is one line of a program, and called whole in each replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backend import NAMESPACES, instead
from ...errors import CompileError
from ..modes import place, show, switched, user_frame
from . import calls
from .memory import Cell, Ref, leaves, mapped, root
from .namespace import NAMESPACE
from .standin import StandIn

if TYPE_CHECKING:
    from .recorder import Recorder


def call_whole(
    recorder: Recorder,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    fused: bool,
) -> Any:
    """Call a kernel that cannot be followed, and write one line that calls it in each replay.

    `fused`: the second of its two results is its own business, and kept in a cell.
    """
    inputs = [s for s in leaves((args, kwargs)) if type(s) is StandIn]
    with switched(recorder=None), instead(None):
        result = function(*values(args), **values(kwargs))
    roots = {id(root(s.value)): s.ref.memory for s in inputs}
    places: list[Ref | Cell | None] = []
    written: list[StandIn] = []

    def kept(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            memory = roots.get(id(root(array)))
            if memory is not None:
                places.append(None)
                return recorder.standin(array, memory)
            written.append(recorder.made(array))
            places.append(written[-1].ref)
            return written[-1]
        if type(value) in NAMESPACES:
            raise CompileError(f"compile: {recorder.op} moves values to another device")
        places.append(None if value is None else Cell(value))
        return places[-1]

    if fused:
        shaped: Any = mapped(result[0], kept), Cell(result[1])
        places.append(shaped[1])
    else:
        shaped = mapped(result, kept)
    where = f"{recorder.op}, called at {show(place(user_frame(3)))}"
    call = function, fused, tuple(places), where, refs(args), refs(kwargs)
    effect = not written or any(type(p) is Cell for p in places)
    recorder.line(calls.whole, call, {}, written, effect=effect)
    return shaped


def values(value: Any) -> Any:
    """`value` with arrays for stand-ins, and NumPy for the namespace that stands in for it."""
    return mapped(value, _value)


def _value(leaf: Any) -> Any:
    if type(leaf) is StandIn:
        return leaf.value
    if type(leaf) is Cell:
        return leaf.value
    return np if leaf is NAMESPACE else leaf


def refs(value: Any) -> Any:
    """`value` with places for stand-ins."""
    return mapped(value, _ref)


def _ref(leaf: Any) -> Any:
    if type(leaf) is StandIn:
        return leaf.ref
    if isinstance(leaf, np.generic):
        return np.asarray(leaf)
    return np if leaf is NAMESPACE else leaf
