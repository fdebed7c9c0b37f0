"""The table of all ops: formula, arguments, derivatives, and the checks that its samples pass.

python -m docs.generate_ops          # runs the checks and writes docs/ops.md

The checks here are quick ones, one random direction each; `tests/ops` makes the thorough ones from
the same table of samples.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.engine import OPS, Op
from minigrad.testing import check_jvp, gradcheck
from minigrad.testing.samples import Draw, Sample, table
from minigrad.viz.rules import formula_text

PAGE = Path(__file__).with_name("ops.md")
PASSED, FAILED, NONE = "✓", "✗", "·"

HEAD = """# All ops

Every op that minigrad registers, with what it computes, its derivative rules as they stand in the
source, and the checks that its samples pass. This page is generated: `python -m docs.generate_ops`
runs the checks and writes it, and a test fails if it is out of date or an op is missing.

The arguments before `/`, or those without a default, are arrays; *d/d* names those with a
derivative. A rule is written with `g`, the gradient of the result, and `y`, the result; "composite"
says that the op has a definition in plain ops too, which the fused kernel is tested against and
which gives its higher derivatives.

| column | what is checked, for each sample of the op |
|---|---|
| value | in float64 against NumPy |
| vjp | the gradient against differences |
| jvp | forward mode against differences |
| 2nd | the gradient's derivative in a random direction against differences of the gradient |
| f32 | float32 stays float32, in the value and the gradient, and both are near those of float64 |
| empty | an argument without elements: the gradient has its shape, elementwise ops NumPy's value |
| 0-d | an argument without axes, likewise |
| broadcast | arguments of shapes (2, 1) and (1, 3) against the same repeated by hand |
| strided | arguments that are not contiguous |
| strict | the strict device, which allows only what CuPy can do, against NumPy |

✓ passes; · does not apply: no derivative, no floating argument, several arguments whose shapes
depend on one another, a shape that the op refuses with an error that says so, or (2nd) a second
derivative that is zero or not finite everywhere.
"""

Check = Callable[[Sample], bool | None]


# -- the checks: True, False, or None where they do not apply --------------------------------------


def outputs(result: Any) -> list[Any]:
    """Several results or one, as a list."""
    return list(result) if isinstance(result, tuple | list) else [result]


def tensors(sample: Sample, inputs: list[Any], device: str = "cpu") -> list[Any]:
    """The arrays as Tensors, those to differentiate with requires_grad."""
    wanted = sample.differentiated(inputs)
    return [
        mg.asarray(x, device=device).requires_grad_(i in wanted) if hasattr(x, "dtype") else x
        for i, x in enumerate(inputs)
    ]


def weighted(ys: list[Any]) -> Any:
    """Σ v · y, with the same random v for results of the same shapes."""
    total: Any = 0.0
    for k, y in enumerate(ys):
        if getattr(y, "requires_grad", False):
            v = np.random.default_rng(k).uniform(0.5, 1.5, y.shape).astype(y.dtype)
            total = total + (y * mg.asarray(v, device=y.device)).sum()
    return total


def gradients(ys: list[Any], xs: list[Any], *, create_graph: bool = False) -> list[Any]:
    """The gradient of `weighted(ys)` by each of xs that requires grad, zeros for None."""
    wanted = [x for x in xs if getattr(x, "requires_grad", False)]
    total = weighted(ys)
    if not wanted or not isinstance(total, mg.Tensor):
        return []
    found = mg.grad(total, wanted, create_graph=create_graph, allow_unused=True)
    dense = [mg.Tensor(g.to_dense()) if hasattr(g, "to_dense") else g for g in found]
    return [mg.zeros_like(x) if g is None else g for g, x in zip(dense, wanted, strict=True)]


def run(sample: Sample, inputs: list[Any], device: str = "cpu") -> tuple[list[Any], list[Any]]:
    """Values and gradients as host arrays."""
    xs = tensors(sample, inputs, device)
    ys = outputs(sample(*xs))
    return [y.numpy() for y in ys], [g.detach().numpy() for g in gradients(ys, xs)]


def near(got: list[Any], expected: list[Any], tolerance: float) -> bool:
    """Whether all arrays agree in shape and value."""
    pairs = zip(got, expected, strict=True)
    return len(got) == len(expected) and all(
        np.shape(a) == np.shape(b) and np.allclose(a, b, tolerance, tolerance, equal_nan=True)
        for a, b in pairs
    )


def both_near(a: Any, b: Any, values: float, grads: float) -> bool:
    """Whether two answers of `run` agree."""
    return near(a[0], b[0], values) and near(a[1], b[1], grads)


def value(sample: Sample) -> bool:
    inputs = sample.draw()
    return near(run(sample, inputs)[0], outputs(sample.expected(*inputs)), sample.tolerance)


def vjp(sample: Sample) -> bool | None:
    return bool(gradcheck(sample, tensors(sample, sample.draw()))) if sample.orders else None


def jvp(sample: Sample) -> bool | None:
    return bool(check_jvp(sample, tensors(sample, sample.draw()))) if sample.orders else None


def second(sample: Sample) -> bool | None:
    if 2 not in sample.orders:
        return None
    inputs = sample.draw()
    wanted = sample.differentiated(inputs)
    rng = np.random.default_rng(5)
    ts = {i: rng.standard_normal(inputs[i].shape) for i in wanted}

    def gradient(eps: float) -> list[Any]:
        moved = [np.asarray(x + eps * ts[i]) if i in ts else x for i, x in enumerate(inputs)]
        return run(sample, moved)[1]

    xs = tensors(sample, inputs)
    first = gradients(outputs(sample(*xs)), xs, create_graph=True)
    dot = sum(((g * mg.asarray(ts[i])).sum() for g, i in zip(first, wanted, strict=True)), 0.0)
    chosen = [xs[i] for i in wanted]
    found: Any = [None] * len(chosen)
    if getattr(dot, "requires_grad", False):
        found = mg.grad(dot, chosen, allow_unused=True)
    exact = [
        np.zeros(x.shape) if h is None else host(h) for h, x in zip(found, chosen, strict=True)
    ]
    eps = 1e-6
    moved = zip(gradient(eps), gradient(-eps), strict=True)
    return near(exact, [(a - b) / (2 * eps) for a, b in moved], 2e-5)


def host(g: Any) -> Any:
    """A gradient as a host array."""
    return np.asarray(g.to_dense()) if hasattr(g, "to_dense") else g.detach().numpy()


def single(sample: Sample) -> bool | None:
    if not any(getattr(x, "dtype", None) == np.float64 for x in sample.draw()):
        return None
    inputs = sample.draw(dtype="float32")
    wide = [x.astype("float64") if _is(x, "float32") else x for x in inputs]
    got, expected = run(sample, inputs), run(sample, wide)
    stays = sample.op == "astype" or all(
        a.dtype == np.float32 for a in (*got[0], *got[1]) if a.dtype.kind == "f"
    )
    return stays and both_near(got, expected, 2e-5, 1e-4)


def _is(x: Any, dtype: str) -> bool:
    return bool(getattr(x, "dtype", None) == np.dtype(dtype))


def _draws(sample: Sample) -> int:
    return sum(isinstance(a, Draw) for a in sample.inputs) if sample.registered.elementwise else 0


def _special(sample: Sample, shape: tuple[int, ...]) -> bool | None:
    """The sample with its arguments in this shape: a gradient of that shape, NumPy's value.

    The value is compared if it is elementwise: other references are for their sample's shape.
    None if it has several arguments that depend on one another, or if the op refuses the shape.
    """
    draws = sum(isinstance(a, Draw) for a in sample.inputs)
    if draws != 1 and not _draws(sample):
        return None
    sample = sample.reshaped(*[shape] * draws)
    inputs = sample.draw()
    try:
        ys, grads = run(sample, inputs)
    except mg.errors.MinigradError:
        return None
    right = not _draws(sample) or near(ys, outputs(sample.expected(*inputs)), sample.tolerance)
    expected = [inputs[i].shape for i in sample.differentiated(inputs)]
    return right and (not grads or [g.shape for g in grads] == expected)


def empty(sample: Sample) -> bool | None:
    return _special(sample, (2, 0, 3))


def zero_d(sample: Sample) -> bool | None:
    return _special(sample, ())


def broadcast(sample: Sample) -> bool | None:
    n = _draws(sample)
    if n < 2:
        return None
    sample = sample.reshaped(*[((2, 1), (1, 3))[i % 2] for i in range(n)])
    inputs = sample.draw()
    ys, grads = run(sample, inputs)
    full = [np.broadcast_to(x, (2, 3)) if hasattr(x, "dtype") else x for x in inputs]
    expected, exact = run(sample, full)
    shapes = [inputs[i].shape for i in sample.differentiated(inputs)]
    summed = [
        g.sum(axis=tuple(i for i, k in enumerate(s) if k == 1), keepdims=True)
        for g, s in zip(exact, shapes, strict=True)
    ]
    return both_near((ys, grads), (expected, summed), 1e-14, 1e-12)


def strided(sample: Sample) -> bool | None:
    inputs = sample.draw()
    if not any(getattr(x, "ndim", 0) for x in inputs):
        return None
    others = [np.repeat(x, 2, axis=-1)[..., ::2] if getattr(x, "ndim", 0) else x for x in inputs]
    return both_near(run(sample, others), run(sample, inputs), 1e-13, 1e-12)


def on_strict(sample: Sample) -> bool:
    inputs = sample.draw()
    return both_near(run(sample, inputs, "strict"), run(sample, inputs), 1e-13, 1e-12)


CHECKS: dict[str, Check] = {
    "value": value,
    "vjp": vjp,
    "jvp": jvp,
    "2nd": second,
    "f32": single,
    "empty": empty,
    "0-d": zero_d,
    "broadcast": broadcast,
    "strided": strided,
    "strict": on_strict,
}


def marks(op: str) -> list[str]:
    """One mark per check: of all samples of the op, those to which it applies pass it."""
    found = []
    for check in CHECKS.values():
        results = [_result(check, sample) for sample in table() if sample.op == op]
        applied = [r for r in results if r is not None]
        found.append(NONE if not applied else PASSED if all(applied) else FAILED)
    return found


def _result(check: Check, sample: Sample) -> bool | None:
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
            return check(sample)
    except Exception as error:  # noqa: BLE001  # a check that raises has failed; say where
        print(f"{sample}: {check.__name__}: {error!r}")
        return False


# -- the page --------------------------------------------------------------------------------------


def registered() -> dict[str, list[Op]]:
    """minigrad's own ops by the first line of their module's docstring."""
    table()  # imports the modules that register ops when they are used
    families: dict[str, list[Op]] = {}
    for name in sorted(OPS):
        op = OPS[name]
        if op.__module__.startswith("minigrad."):
            families.setdefault(op.__module__, []).append(op)
    return {_family(module): families[module] for module in sorted(families)}


def _family(module: str) -> str:
    name = module.removeprefix("minigrad.")
    doc = (sys.modules[module].__doc__ or "").strip().split("\n")[0]
    return f"`{name}`: {doc}"


def differentiable(op: Op) -> str:
    """The arguments that have a derivative."""
    if op.rules is None:
        return "–"
    if op.variadic:
        return "all"
    if op.fused:
        names = list(op.arrays)
        found = {
            names[i]
            for sample in table()
            if sample.op == op.name and sample.call is None
            for i in sample.differentiated(sample.draw())
            if i < len(names)
        }
        return ", ".join(n for n in names if n in found) or "all"
    return ", ".join(n for n, r in zip(op.arrays, op.rules, strict=True) if r is not None) or "–"


def row(op: Op) -> str:
    """One line of the table."""
    rule = formula_text(op)
    if op.plain is not None:
        rule = f"{rule}; composite" if rule else "composite"
    call = f"`{op.name}{_signature(op)}`"
    cells = [call, _plain(op.doc), differentiable(op), _code(rule), *marks(op.name)]
    return "| " + " | ".join(cells) + " |"


def _signature(op: Op) -> str:
    """The arguments with their defaults, without types."""
    signature = inspect.Signature(
        [p.replace(annotation=p.empty) for p in op.__signature__.parameters.values()]
    )
    return str(signature).replace("|", "\\|")


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def lines() -> Iterator[str]:
    """The page."""
    yield HEAD
    families = registered()
    count = sum(len(ops) for ops in families.values())
    yield f"{count} ops, {len(table())} samples.\n"
    titles = ["op", "what it computes", "d/d", "rule", *CHECKS]
    for family, ops in families.items():
        yield f"## {family}\n"
        yield "| " + " | ".join(titles) + " |"
        yield "|" + "---|" * 4 + ":-:|" * len(CHECKS)
        yield from (row(op) for op in ops)
        yield ""


def page() -> str:
    """The text of docs/ops.md."""
    return "\n".join(lines()).rstrip() + "\n"


def main() -> None:
    """Write the page, if all checks pass."""
    text = page()
    if FAILED in text:
        raise SystemExit(f"{text.count(FAILED)} checks failed; {PAGE} is left as it is")
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE}: {text.count(PASSED)} checks passed")


if __name__ == "__main__":
    main()
