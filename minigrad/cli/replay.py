"""A recorded computation as a function of its leaves, in float64: what `minigrad check` moves."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ..backend import NAMESPACES
from ..engine import Node, Tensor
from ..errors import ConfigError
from ..ops import float64
from ..viz.build import Names
from ..viz.tape import Tape

Known = dict[Any, Any]  # (line, output) or id of a leaf → Tensor


def replay(
    outputs: Any, model: Any = None, params: Mapping[str, Tensor] | None = None
) -> tuple[Callable[..., tuple[Tensor, ...]], dict[str, Tensor]]:
    """A function that computes `outputs` again, and its arguments: the leaves that need gradients.

    Raises: ConfigError if nothing needs a gradient.
    """
    tape = Tape(outputs)
    names = Names(model, params)
    leaves: dict[int, Tensor] = {}
    for node in tape.lines:
        for of, _ in tape.sources(node):
            if isinstance(of, Tensor) and of.requires_grad and _floating(of):
                leaves.setdefault(id(of), of)
    if not leaves:
        raise ConfigError("check: nothing that the function returns depends on a leaf with grad")
    wanted = [tape.source(t.node, t.index) for _, t in tape.outputs if t.node is not None]

    def again(*values: Tensor) -> tuple[Tensor, ...]:
        known: Known = dict(zip(leaves, values, strict=True))
        for at, node in enumerate(tape.lines):
            given = [_argument(known, node, at, i, *s) for i, s in enumerate(tape.sources(node))]
            static = {k: _widened(v) if k == "dtype" else v for k, v in node.params.items()}
            out = node.op(*given, **static)
            for slot, value in enumerate(out if isinstance(out, tuple) else (out,)):
                known[node, slot] = value
        return tuple(known[of, slot] for of, slot in wanted)

    arguments: dict[str, Tensor] = {}
    for n, leaf in enumerate(leaves.values()):
        name = names.of.get(id(leaf)) or str(leaf.name or f"leaf {n}")
        arguments[name if name not in arguments else f"{name} ({n})"] = leaf
    return again, arguments


def _argument(known: Known, node: Node, at: int, i: int, of: Any, slot: int) -> Any:
    if isinstance(of, Node):
        return known[of, slot]
    if id(of) in known:
        return known[id(of)]
    saved = node.inputs[i] if node.inputs is not None else None
    if isinstance(saved, tuple):  # a Spec
        saved = None
    tensor = of() if isinstance(of, weakref.ref) else of
    if tensor is None and saved is None and (of is not None or node.inputs is None):
        names = list(node.op.arrays)
        name = names[i] if i < len(names) else i
        raise ConfigError(
            f"check: argument {name} of {node.op.name}, line {at + 1}, "
            "is a constant that was not kept; let the function return (f, inputs) instead, or keep "
            "that tensor alive"
        )
    value: Any = saved if tensor is None else tensor.data
    if type(value) in NAMESPACES and value.dtype.kind == "f":
        return value.astype("float64")
    return value


def _floating(t: Tensor) -> bool:
    return bool(t.dtype.kind == "f")


def _widened(dtype: Any) -> Any:
    return float64 if getattr(dtype, "kind", "") == "f" else dtype
