"""Write `cupy_api.json`: the names, parameters and loops that NumPy and CuPy have in common.

Run it where the supported CuPy is installed; no GPU and no driver are needed::

    pip install --no-deps --target /tmp/cupy "cupy-cuda13x>=14.2,<15" cuda-pathfinder ml_dtypes
    PYTHONPATH=/tmp/cupy python -m minigrad.testing.generate_cupy_api

The strict device and the lint read the file, so neither needs CuPy. Its parts:

- `functions`: name → CuPy's parameters; `b=` has a default, `/` and `*` are as in a signature;
- `ufuncs`: name → the loops CuPy has compiled in, as in `numpy.ufunc.types`;
- `constants`: types, constants and namespaces;
- `methods`, `attributes`: the same for `ndarray`.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

DEEPER = ("linalg", "fft", "lib", "lib.stride_tricks")
"""The namespaces that are walked; `random` is not: neutral code draws from `device.rng`."""


def parameters(function: Any) -> str | None:
    """The parameters of `function` as text, from its signature or Cython's first docstring line."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return _documented(function.__doc__ or "")
    words, marks = [], {p.kind for p in found}
    for i, p in enumerate(found):
        if p.kind is p.KEYWORD_ONLY and p.VAR_POSITIONAL not in marks and "*" not in words:
            words.append("*")
        star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        words.append(f"{star}{p.name}" + ("" if p.default is p.empty else "="))
        ends = i + 1 == len(found) or found[i + 1].kind is not p.kind
        if p.kind is p.POSITIONAL_ONLY and ends:
            words.append("/")
    return ", ".join(words)


def _documented(doc: str) -> str | None:
    """`sum(self, axis=None, int n=-1) -> ndarray` → "axis=, n="."""
    match = re.match(r"[\w.]+\((.*?)\)(?: ->.*)?$", doc.strip().partition("\n")[0])
    if match is None:
        return None
    words = []
    for part in filter(None, match[1].split(", ")):
        name, default, _ = part.partition("=")
        name = name.split()[-1]  # "_ndarray_base b" is typed
        if name != "self":
            words.append(name + default)
    return ", ".join(words)


def walk(numpy: Any, cupy: Any, prefix: str, api: dict[str, Any]) -> None:
    """Add the names that both namespaces have to `api`."""
    for name in sorted(set(dir(numpy)) & set(dir(cupy))):
        if name.startswith("_"):
            continue
        full, theirs = prefix + name, getattr(cupy, name)
        if type(theirs).__name__ == "ufunc":
            api["ufuncs"][full] = theirs.types
        elif inspect.ismodule(theirs):
            if full in DEEPER:
                api["constants"].append(full)
                walk(getattr(numpy, name), theirs, full + ".", api)
        elif inspect.isclass(theirs) or not callable(theirs):
            api["constants"].append(full)
        elif (text := parameters(theirs)) is not None:
            api["functions"][full] = text


def generate() -> dict[str, Any]:
    """The table, from the installed CuPy."""
    import cupy

    api: dict[str, Any] = {
        "cupy": cupy.__version__,
        "numpy": np.__version__,
        "functions": {},
        "ufuncs": {},
        "constants": [],
        "methods": {},
        "attributes": [],
    }
    walk(np, cupy, "", api)
    for name in sorted(set(dir(np.ndarray)) & set(dir(cupy.ndarray))):
        if name.startswith("_"):
            continue
        method = getattr(cupy.ndarray, name)
        text = parameters(method) if callable(method) else None
        if text is None:
            api["attributes"].append(name)
        else:
            api["methods"][name] = text.removeprefix("self").removeprefix(", ")
    return api


def main() -> None:
    """Write the file beside this one."""
    api = generate()
    lines = [f' "{key}": {_lines(value)}' for key, value in api.items()]
    path = Path(__file__).with_name("cupy_api.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _lines(value: Any) -> str:
    """One line per name, so that a new CuPy version shows as a readable diff."""
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "}"


if __name__ == "__main__":
    main()
