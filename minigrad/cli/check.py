"""`minigrad check`: first order, second order and forward mode against central differences."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import NAMESPACES, device_of
from ..engine import Tensor, enable_grad
from ..errors import ConfigError, GradError
from ..ops import tensor
from ..testing import GradcheckError, check_jvp, gradcheck, gradgradcheck
from .replay import replay
from .script import Result, load, parameters, read

CHECKS: dict[str, Callable[..., bool]] = {
    "first order": gradcheck,
    "second order": gradgradcheck,
    "forward mode": check_jvp,
}
FORMS = (
    "return (f, inputs), or a Tensor, or (Tensor, model); or give every argument a default: then "
    "it is checked itself"
)


@dataclass(slots=True)
class Row:
    """One input, or all of them together, and what each check said."""

    name: str
    shape: str
    elements: int
    said: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)


def check(
    where: str, *, order: int = 2, eps: float = 1e-6, atol: float = 1e-6, rtol: float = 1e-5
) -> tuple[str, bool]:
    """The table for SCRIPT.py:FUNCTION, and whether every check passed."""
    start = time.perf_counter()
    f, inputs = function_and_inputs(load(where))
    wanted = [n for n in CHECKS if order > 1 or n != "second order"]
    chosen = [n for n, v in inputs.items() if isinstance(v, Tensor) and v.requires_grad]
    chosen = chosen or [n for n, v in inputs.items() if _is_floating(v)]
    if not chosen:
        raise ConfigError(f"check: {where} declares no floating input")
    groups = [[name] for name in chosen] + ([chosen] if len(chosen) > 1 else [])
    rows = []
    for group in groups:
        values = {n: _prepared(v, n in group) for n, v in inputs.items()}
        shapes = [tuple(values[n].shape) for n in group]
        one = len(group) == 1
        row = Row(
            group[0] if one else "all together",
            str(shapes[0]) if one else "",
            sum(int(np.prod(s)) for s in shapes),
        )
        for name in wanted:
            _progress(f"{row.name}: {name} …")
            _run(row, name, f, list(values.values()), eps=eps, atol=atol, rtol=rtol)
        rows.append(row)
    _progress("")
    passed = not any(row.why for row in rows)
    seconds = time.perf_counter() - start
    head = f"{where}  ·  float64, central differences with step {eps:g}  ·  {seconds:.1f} s"
    return f"{head}\n\n{_table(rows, wanted)}\n", passed


def function_and_inputs(function: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What to check, and at which inputs, by name; see `FORMS`."""
    declared = parameters(function)
    if declared:
        return function, declared
    with enable_grad():
        value = function()
    if isinstance(value, tuple) and len(value) == 2 and callable(value[0]):
        f, inputs = value
        if isinstance(inputs, Mapping):
            return f, dict(inputs)
        several = isinstance(inputs, Sequence) and not isinstance(inputs, str)
        given = list(inputs) if several else [inputs]
        names = [getattr(v, "name", None) or f"input {i}" for i, v in enumerate(given)]
        if len(set(names)) < len(names):
            names = [f"input {i}" for i in range(len(given))]
        return f, dict(zip(names, given, strict=True))
    result = read(value)
    tensors = result.outputs if isinstance(result, Result) else None
    flat = tensors if isinstance(tensors, list | tuple) else [tensors]
    if not isinstance(result, Result) or not all(isinstance(t, Tensor) for t in flat):
        raise ConfigError(f"check: the function returned a {type(value).__name__}; {FORMS}")
    return replay(result.outputs, result.model, result.params)


def _progress(text: str) -> None:
    """What is being checked, on a terminal: central differences take their time."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _run(row: Row, name: str, f: Callable[..., Any], values: list[Any], **how: float) -> None:
    try:
        CHECKS[name](f, values, **how)
        row.said[name] = "ok"
    except GradcheckError as error:
        row.said[name], row.why[name] = "WRONG", str(error)
    except GradError as error:
        row.said[name], row.why[name] = "error", str(error)


def _prepared(value: Any, checked: bool) -> Any:
    """An input in float64; what is checked requires a gradient, and nothing else does."""
    if isinstance(value, Tensor):
        value = value.data
    if not _is_floating(value):
        return tensor(value) if type(value) in NAMESPACES else value
    if type(value) in NAMESPACES:
        data = value.astype("float64")
        return tensor(data, device=device_of(value), requires_grad=checked)
    return tensor(np.asarray(value, dtype=np.float64), requires_grad=checked)


def _is_floating(value: Any) -> bool:
    if isinstance(value, float):
        return True
    return hasattr(value, "dtype") and getattr(value.dtype, "kind", "") == "f"


def _table(rows: list[Row], checks: list[str]) -> str:
    head = ["input", "shape", "elements", *checks]
    cells = [[r.name, r.shape, f"{r.elements:,}", *(r.said[c] for c in checks)] for r in rows]
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    lines = []
    for row in [head, ["─" * w for w in widths], *cells]:
        padded = [c.ljust(w) for c, w in zip(row, widths, strict=True)]
        padded[2] = row[2].rjust(widths[2])
        lines.append("  ".join(padded))
    for each in rows:
        for name, why in each.why.items():
            lines += ["", f"{each.name}, {name}: {why}"]
    bad = sum(len(each.why) for each in rows)
    total = len(rows) * len(checks)
    lines += ["", f"{total - bad} of {total} checks passed"]
    return "\n".join(line.rstrip() for line in lines)
