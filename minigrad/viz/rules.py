"""What an op's derivative rule says: in words and as formulas, `x: g (1 − y²)`.

Those of minigrad's ops are told in `words`; a rule of a user's op is quoted from its own source.
"""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from typing import Any

from .words import RULES


def rule_words(op: Any) -> str:
    """The rule of an op in words; for one that is not known here, what its docstring says."""
    if _told(op):
        return RULES[op.name][0]
    if getattr(op, "fused", False):
        return "a backward pass written by hand"
    return ""


def rule_formulas(op: Any) -> list[tuple[str, str]]:
    """(argument, formula) for each array argument that has a gradient."""
    names = tuple(op.arrays) or ("xs",)
    if _told(op):
        found: list[str] = list(RULES[op.name][1:])
    else:
        found = _rules(inspect.getsourcefile(op.forward) or "").get(op.name, [])
    pairs = zip(names, found, strict=False)
    return [(name, text) for name, text in pairs if text and text != "None"]


def rule_text(op: Any) -> str:
    """Words and formulas in one text, parts divided by a semicolon and two spaces."""
    words = rule_words(op)
    return ";  ".join([words] * bool(words) + [f"{name}: {f}" for name, f in rule_formulas(op)])


def formula_text(op: Any) -> str:
    """The formulas alone, or the words where there are none."""
    formulas = rule_formulas(op)
    return ";  ".join(f"{name}: {f}" for name, f in formulas) or rule_words(op)


def _told(op: Any) -> bool:
    """Whether `words` tells of this op: not of a user's op that has the same name."""
    module = getattr(op, "__module__", "") or ""
    return op.name in RULES and (module.startswith("minigrad.") or op.name == "checkpoint")


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
    """A lambda's body; of a function its docstring, its only line, or its name in words."""
    if isinstance(rule, ast.Lambda):
        return _plain(ast.unparse(rule.body))
    if isinstance(rule, ast.Name) and rule.id in functions:
        body = functions[rule.id].body
        doc = ast.get_docstring(functions[rule.id])
        if doc:
            return doc.split("\n")[0].rstrip(".")
        last = body[-1]
        if isinstance(last, ast.Return) and last.value is not None and len(body) == 1:
            return _plain(ast.unparse(last.value))
        return rule.id.strip("_").replace("_", " ")
    return _plain(ast.unparse(rule))


def _plain(source: str) -> str:
    """Source without the underscores of private names."""
    return re.sub(r"(?<![\w.])_+(?=[a-zA-Z])", "", source)
