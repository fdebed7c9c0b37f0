"""`SCRIPT.py:FUNCTION`: finding a function in a file, calling it, and reading what it returns."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine import Tensor, enable_grad
from ..errors import ConfigError
from ..viz import Graph

NAME = "minigrad_script"  # of the module: not its file's, which may be `random.py`


@dataclass(frozen=True, slots=True)
class Result:
    """What a function returned: outputs, and names for the leaves behind them."""

    outputs: Any
    model: Any = None
    params: dict[str, Tensor] = field(default_factory=dict)


def load(where: str) -> Callable[..., Any]:
    """The function that `SCRIPT.py:FUNCTION` names.

    The script runs as an import does, with its own folder first on the path; what stands below
    `if __name__ == "__main__"` does not.

    Raises: ConfigError if there is no such file or no such function.
    """
    file, _, name = where.rpartition(":")
    if not file or not name:
        raise ConfigError(f"{where!r} is not SCRIPT.py:FUNCTION, as in train.py:loss")
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"there is no file {file!r} in {Path.cwd()}")
    spec = importlib.util.spec_from_file_location(NAME, path.resolve())
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file!r} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if function is None or not callable(function):
        own = sorted(
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == NAME and key[0] != "_"
        )
        found = f"it has {', '.join(own)}" if own else "it has no functions"
        raise ConfigError(f"{file!r} has no function {name!r}; {found}")
    return function


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of the function's arguments.

    Raises: ConfigError if one has none.
    """
    found: dict[str, Any] = {}
    for name, p in inspect.signature(function).parameters.items():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if p.default is p.empty:
            called = getattr(function, "__name__", "the function")
            raise ConfigError(
                f"{called}: its argument {name!r} has no default; it is called without arguments"
            )
        found[name] = p.default
    return found


def call(function: Callable[..., Any]) -> Result | Graph:
    """What the function returns: a Tensor, (Tensor, model), (Tensor, names), or a drawn Graph."""
    parameters(function)
    with enable_grad():
        return read(function())


def read(value: Any) -> Result | Graph:
    """A returned value, taken apart."""
    if isinstance(value, Graph | Result):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        outputs, more = value
        if hasattr(more, "named_parameters"):
            return Result(outputs, more)
        if isinstance(more, Mapping):
            return Result(outputs, params=dict(more))
    return Result(value)
