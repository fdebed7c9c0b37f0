"""Boxes around items: which part of a path is a module, what is written at the top of a box."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .ir import BACKWARDS, DERIVED, FORWARD, Box, GraphIR, Path

PHASES = (
    ("forward", ""),
    ("backward", "from the rules of the forward lines"),
    ("double backward", "from the rules of the backward lines"),
    ("higher order", "from the rules of double backward"),
)


def is_module(part: str) -> bool:
    """Whether a path element names a module: not a repeat (×20@3), an opened op (lstm@3) or ∂."""
    return "@" not in part and part[:1] != DERIVED


def modules_of(path: Path) -> Path:
    """The module names on a path."""
    return tuple(part for part in path if is_module(part))


def join_opened(ir: GraphIR) -> None:
    """A module that holds nothing but an opened op, and that op, are one box."""
    inside: dict[Path, set[Path]] = {}
    for item in ir.items.values():
        for depth in range(1, len(item.path) + 1):
            below = inside.setdefault(item.path[:depth], set())
            below.add(item.path[depth : depth + 1])
    moved: dict[Path, Path] = {}
    for path in sorted(inside, key=len, reverse=True):
        (only, *more) = inside[path]
        if more or not only or not is_module(path[-1]):
            continue
        box, inner = ir.boxes[path], ir.boxes.get(path + only)
        if inner is not None and inner.kind == "opened":
            arrow = f" {BACKWARDS}" if BACKWARDS in only[0] else ""
            detail = "  ·  ".join(part for part in (box.detail, inner.detail) if part)
            ir.boxes[path + only] = replace(inner, title=box.title + arrow, detail=detail)
            moved[path + only] = path[:-1] + only
    for old, new in moved.items():
        n = len(old)
        for item in ir.items.values():
            if item.path[:n] == old:
                item.path = new + item.path[n:]
            if item.loop[:n] == old:
                item.loop = new + item.loop[n:]
        ir.boxes = {
            (new + path[n:] if path[:n] == old else path): box for path, box in ir.boxes.items()
        }


def described(model: Any) -> dict[Path, str]:
    """Path of each module → what it is: LSTM(8, 32)  ·  5,248 parameters."""
    about: dict[Path, str] = {}
    if model is None or not hasattr(model, "named_modules"):
        return about
    for name, module in model.named_modules():
        path = tuple(name.split(".")) if name else ()
        kind = type(module).__name__
        extra = getattr(module, "extra_repr", str)()
        text = f"{kind}({extra})" if extra else kind
        count = getattr(module, "num_parameters", None)
        if count is not None and count():
            text += f"  ·  {count():,} parameters"
        about[path] = text
    return about


def named_box(path: Path, about: dict[Path, str]) -> Box:
    """The box at a path, with its title and what `described` says of its module."""
    part = path[-1]
    if part[:1] == DERIVED:
        order = 0 if part == FORWARD else len(part)
        return Box("module", *PHASES[min(order, len(PHASES) - 1)])
    if not is_module(part):
        name = part.partition("@")[0]
        return Box("opened", name, "opened into plain ops")
    names = modules_of(path)
    detail = about.get(names[1:]) or about.get(names) or ""
    if part == detail.partition("  ·  ")[0].partition("(")[0]:
        detail = detail[len(part) :].lstrip("· ")
    if part.isdigit() and detail:  # of a Sequential: Tanh [1]
        kind = detail.partition("  ·  ")[0].partition("(")[0]
        return Box("module", f"{kind} [{part}]", detail[len(kind) :].lstrip("· "))
    return Box("module", part, detail)
