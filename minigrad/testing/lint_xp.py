"""Find, without running it, neutral code that would fail or stall on CuPy.

    python -m minigrad.testing.lint_xp minigrad/ops minigrad/nn

A kernel is a function with a parameter `xp`; a rule is what `defvjp`, `.backward` or `.composite`
is given. In all code, `xp.*` must exist in CuPy and be called with keywords CuPy takes. In kernels
and rules there are no NumPy calls, no syncs, and no matrix product but `backend.matmul`; what
stands in `if on_cpu(xp):`, or after `if not on_cpu(xp): return …`, runs on the CPU only: it is
free.

A line that is right all the same says so, and why: `# xp: allow - lengths are host integers`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minigrad.testing.cupy_api import api, method_parameters, parameters

__all__ = ["Finding", "check_paths", "check_source", "main"]

GEMM = frozenset(("matmul", "dot", "vdot", "inner", "tensordot", "einsum", "linalg.multi_dot"))
NAMESPACES = frozenset(("", "linalg", "fft", "lib", "lib.stride_tricks"))
HOST_RESULTS = frozenset(
    ("dtype", "issubdtype", "result_type", "promote_types", "can_cast", "prod", "broadcast_shapes",
     "finfo", "iinfo", "ndim", "isscalar")
)  # fmt: skip
"""What NumPy may be asked in a kernel: it takes no arrays."""

SYNCS = frozenset(("item", "tolist", "get"))
UFUNC_KEYWORDS = frozenset(("out", "dtype", "casting"))
_ALLOWED = re.compile(r"#\s*xp: allow\s*-\s*\S")


@dataclass(frozen=True, order=True)
class Finding:
    """One thing to change."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def check_source(source: str, path: str = "<source>") -> list[Finding]:
    """The findings in the text of one module.

    >>> for finding in check_source("def f(xp, x): return xp.sum(x, initial=0)"):
    ...     print(finding)
    <source>:1: xp.sum(initial=): CuPy takes (a, axis=…, dtype=…, out=…, keepdims=…)
    """
    tree = ast.parse(source, path)
    neutral = {id(node) for root in _neutral(tree) for node in ast.walk(root)}
    neutral -= {id(node) for root in _host_only(tree) for node in ast.walk(root)}
    lines = source.splitlines()
    found = set()
    for node in ast.walk(tree):
        for message in _messages(node, id(node) in neutral):
            line: int = getattr(node, "lineno", 1)
            if not _ALLOWED.search(lines[line - 1]):
                found.add(Finding(path, line, message))
    return sorted(found)


def check_paths(paths: Iterable[str | Path]) -> list[Finding]:
    """The findings in files and, below folders, in all their modules."""
    files = []
    for each in map(Path, paths):
        files += sorted(each.rglob("*.py")) if each.is_dir() else [each]
    return [
        finding
        for file in files
        for finding in check_source(file.read_text(encoding="utf-8"), str(file))
    ]


def _neutral(tree: ast.AST) -> Iterator[ast.AST]:
    """The functions that run on arrays of any device: kernels and derivative rules."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            arguments = node.args
            if any(a.arg == "xp" for a in arguments.posonlyargs + arguments.args):
                yield node
        if isinstance(node, ast.FunctionDef):
            marks = [d.attr for d in node.decorator_list if isinstance(d, ast.Attribute)]
            if "backward" in marks or "composite" in marks:
                yield node
        if isinstance(node, ast.Call) and _name(node.func).endswith(".defvjp"):
            yield from (a for a in node.args if isinstance(a, ast.Lambda))


def _host_only(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs only if `on_cpu(xp)`: after an `and`, in a branch, or past the other's `return`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) and _is_numpy(node):
            yield from node.values
        elif isinstance(node, ast.IfExp) and _is_numpy(node.test):
            yield node.body
        for field in ("body", "orelse"):
            found = getattr(node, field, None)
            block: list[ast.AST] = found if isinstance(found, list) else []
            for i, statement in enumerate(block):
                if isinstance(statement, ast.If):
                    if _is_numpy(statement.test):
                        yield from statement.body
                    elif ast.unparse(statement.test) == "not on_cpu(xp)":
                        yield from statement.orelse
                        if isinstance(statement.body[-1], (ast.Return, ast.Raise)):
                            yield from block[i + 1 :]


def _is_numpy(test: ast.expr) -> bool:
    """Whether `test` is `on_cpu(xp)` or begins with `on_cpu(xp) and`."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        test = test.values[0]
    return ast.unparse(test) == "on_cpu(xp)"


def _name(node: ast.AST) -> str:
    """`a.b.c` of an attribute or a name, "" of anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _messages(node: ast.AST, neutral: bool) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        yield from _attribute(_name(node))
    elif isinstance(node, ast.Call):
        yield from _call(node, neutral)
    elif neutral and isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield "@: multiply through matmul, the one GEMM entry"


def _attribute(dotted: str) -> Iterator[str]:
    library, _, name = dotted.partition(".")
    if library != "xp" or not name:
        return
    owner, _, method = name.rpartition(".")
    if owner in api().ufuncs:
        if method in ("reduce", "accumulate") and owner not in ("add", "multiply"):
            yield f"xp.{name}: CuPy has it for add and multiply only"
    elif name in GEMM:
        yield f"xp.{name}: multiply through matmul, the one GEMM entry"
    elif name == "random":
        yield f"xp.{name}: draw from device.rng"
    elif name not in api() and owner in NAMESPACES:
        yield f"xp.{name}: CuPy {api().version} has no such name"


def _call(node: ast.Call, neutral: bool) -> Iterator[str]:
    library, _, name = _name(node.func).partition(".")
    keywords = {k.arg for k in node.keywords if k.arg}
    if library == "xp" and name in api().ufuncs:
        for wrong in sorted(keywords - UFUNC_KEYWORDS):
            yield f"xp.{name}({wrong}=): CuPy's ufuncs take out, dtype, casting"
    elif library == "xp" and name in api().functions:
        taken = parameters(name).keywords
        for wrong in sorted(keywords - taken) if taken is not None else ():
            yield f"xp.{name}({wrong}=): CuPy takes ({parameters(name).text})"
    elif neutral and library in ("np", "numpy") and name not in HOST_RESULTS:
        yield f"{library}.{name}(): a NumPy call where arrays may be on a GPU; use xp"
    elif neutral and isinstance(node.func, ast.Attribute):
        yield from _method(node.func.attr, keywords, bool(node.args))


def _method(name: str, keywords: set[str], has_args: bool) -> Iterator[str]:
    if name in SYNCS and not has_args and not keywords:
        yield f".{name}(): makes the host wait for the device"
    if name in api().methods:
        taken = method_parameters(name)
        for wrong in sorted(keywords & {"where", "initial"} - (taken.keywords or set())):
            yield f".{name}({wrong}=): CuPy takes ({taken.text})"


def main(arguments: list[str]) -> int:
    """Print the findings; 1 if there are any."""
    findings = check_paths(arguments)
    print(*findings, sep="\n", end="\n" if findings else "")  # noqa: T201  a command
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
