"""What an op's derivative rule says, read from its own source: `x: g * (1 - y * y)`.

The rule is written once, below its op; the picture quotes it.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from typing import Any


def rule_text(op: Any) -> str:
    """The rules of an op, one part per array argument; empty where there is no source to read."""
    found = _rules(inspect.getsourcefile(op.forward) or "").get(op.name)
    if not found:
        return "hand-written backward" if getattr(op, "fused", False) else ""
    names = tuple(op.arrays) or ("xs",)
    pairs = zip(names, found, strict=False)
    return ";  ".join(f"{name}: {text}" for name, text in pairs if text and text != "None")


@cache
def _rules(file: str) -> dict[str, list[str]]:
    """Op name → text of each rule, for the ops defined in a file."""
    try:
        with open(file, encoding="utf-8") as source:  # noqa: PTH123
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "defvjp"
            and isinstance(node.func.value, ast.Name)
        ):
            name = node.func.value.id.strip("_")
            found[name] = [_text(arg, functions) for arg in node.args]
    return found


def _text(rule: ast.expr, functions: dict[str, ast.FunctionDef]) -> str:
    if isinstance(rule, ast.Lambda):
        return ast.unparse(rule.body)
    if isinstance(rule, ast.Name) and rule.id in functions:
        body = functions[rule.id].body
        doc = ast.get_docstring(functions[rule.id])
        if doc:
            return doc.split("\n")[0].rstrip(".")
        last = body[-1]
        if isinstance(last, ast.Return) and last.value is not None and len(body) == 1:
            return ast.unparse(last.value)
        return rule.id
    return ast.unparse(rule)
