"""What CuPy has and takes, read from `cupy_api.json`: for the strict device and the lint."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any


class Parameters:
    """The parameters of one CuPy function, e.g. "a, axis=, *, dtype="."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("=", "=…")
        kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
        found: list[inspect.Parameter] = []
        for word in filter(None, text.split(", ")):
            name = word.strip("*=")
            if word == "/":
                found = [p.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for p in found]
            elif word == "*":
                kind = inspect.Parameter.KEYWORD_ONLY
            elif word.startswith("**"):
                found.append(inspect.Parameter(name, inspect.Parameter.VAR_KEYWORD))
            elif word.startswith("*"):
                found.append(inspect.Parameter(name, inspect.Parameter.VAR_POSITIONAL))
                kind = inspect.Parameter.KEYWORD_ONLY
            else:
                default = None if word.endswith("=") else inspect.Parameter.empty
                found.append(inspect.Parameter(name, kind, default=default))
        self.signature = inspect.Signature(found)
        self.variadic = {p.name for p in found if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        any_keyword = any(p.kind is p.VAR_KEYWORD for p in found)
        named = {p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        self.keywords: set[str] | None = None if any_keyword else named

    def bind(self, name: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Parameter name → argument. Raises: TypeError if CuPy does not take these arguments."""
        try:
            return self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"cupy.{name}: {error}; CuPy takes ({self.text})") from None


class Api:
    """The table: `functions` and `methods` by name, `ufuncs` with their loops, `constants`."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.version: str = table["cupy"]
        self.functions: dict[str, str] = table["functions"]
        self.ufuncs: dict[str, list[str]] = table["ufuncs"]
        self.constants: set[str] = set(table["constants"])
        self.methods: dict[str, str] = table["methods"]
        self.attributes: set[str] = set(table["attributes"])

    def __contains__(self, name: str) -> bool:
        return name in self.functions or name in self.ufuncs or name in self.constants


@cache
def api() -> Api:
    """The committed table."""
    path = Path(__file__).with_name("cupy_api.json")
    return Api(json.loads(path.read_text(encoding="utf-8")))


@cache
def parameters(name: str) -> Parameters:
    """The parameters of the CuPy function `name`."""
    return Parameters(api().functions[name])


@cache
def method_parameters(name: str) -> Parameters:
    """The parameters of the method `name` of CuPy's arrays, without self."""
    return Parameters(api().methods[name])
