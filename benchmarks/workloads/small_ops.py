"""What an op costs that has nothing to compute: chains of ops on 8 x 8 matrices (W8).

A part is (run, ops per run, read): `read(run())` is a dictionary of arrays to be checked.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace as Size
from typing import Any

import numpy as np

OPS = ("add", "multiply", "matmul")
Part = tuple[Callable[[], Any], int, Callable[[Any], dict[str, Any]]]


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """No weights."""
    return {}


def batch(s: Size, rng: Any) -> tuple[Any, ...]:
    """No data."""
    return ()


def start(s: Size) -> tuple[Any, Any, Any]:
    """x; a w that keeps a chain of products finite; and the gradient of the last one."""
    rng = np.random.default_rng(0)
    w = np.linalg.qr(rng.standard_normal((s.N, s.N)))[0]
    ones = np.ones((s.N, s.N), np.float32)
    return rng.standard_normal((s.N, s.N), np.float32), w.astype(np.float32), ones


def chain(f: Callable[[Any, Any], Any], y: Any, w: Any, n: int) -> Any:
    """f(… f(f(y, w), w) …, w)."""
    for _ in range(n):
        y = f(y, w)
    return y


def taped(
    s: Size,
    leaf: Callable[[Any], Any],
    functions: dict[str, Any],
    backward: Callable[[Any, Any], Any],
    data: Callable[[Any], Any],
    clear: Callable[[Any], None],
    compiled: Callable[[Any], Any] = lambda f: f,
) -> dict[str, Part]:
    """The parts of a framework whose variables record what is done with them."""
    parts: dict[str, Part] = {}
    ones = leaf(start(s)[2])
    for name, f in functions.items():
        x, w = (leaf(a) for a in start(s)[:2])

        def forward(f: Any = f, x: Any = x, w: Any = w) -> Any:
            return chain(f, x, w, s.chain)

        def both(f: Any = f, x: Any = x, w: Any = w) -> Any:
            clear(x)
            clear(w)
            y = chain(f, x, w, s.chain)
            backward(y, ones)
            return y

        def read(y: Any, x: Any = x, w: Any = w) -> dict[str, Any]:
            return {"y": data(y), "dx": data(x.grad), "dw": data(w.grad)}

        parts[f"{name} forward"] = compiled(forward), s.chain, lambda y: {"y": data(y)}
        parts[f"{name} both"] = compiled(both), s.chain, read
    return parts


def _forget(x: Any) -> None:
    x.grad = None


def minigrad_parts(s: Size, options: dict[str, Any]) -> dict[str, Part]:
    """In minigrad."""
    import minigrad as mg

    functions = {name: getattr(mg, name) for name in OPS}
    wrapped = {"compiled": mg.compile} if options.get("compiled") else {}
    return taped(
        s,
        lambda a: mg.tensor(a, requires_grad=True),
        functions,
        lambda y, g: y.backward(g.detach()),
        lambda x: x.numpy().copy(),
        _forget,
        **wrapped,
    )


def torch_parts(s: Size, options: dict[str, Any]) -> dict[str, Part]:
    """In PyTorch."""
    import torch

    return taped(
        s,
        lambda a: torch.tensor(a, requires_grad=True),
        {name: getattr(torch, name) for name in OPS},
        lambda y, g: y.backward(g),
        lambda x: x.detach().numpy().copy(),
        _forget,
    )


def jax_parts(s: Size, options: dict[str, Any]) -> dict[str, Part]:
    """In JAX, each chain under one jit: XLA may fuse it."""
    import jax
    import jax.numpy as jnp

    x, w, ones = (jnp.asarray(a) for a in start(s))
    parts: dict[str, Part] = {}
    for name in OPS:

        def forward(x: Any, w: Any, name: str = name) -> Any:
            return chain(getattr(jnp, name), x, w, s.chain)

        def both(x: Any, w: Any, g: Any, forward: Any = forward) -> Any:
            y, back = jax.vjp(forward, x, w)
            return y, *back(g)

        f, b = jax.jit(forward), jax.jit(both)
        parts[f"{name} forward"] = (
            lambda f=f: f(x, w).block_until_ready(), s.chain, lambda y: {"y": np.asarray(y)}
        )  # fmt: skip
        parts[f"{name} both"] = (
            lambda b=b: jax.block_until_ready(b(x, w, ones)),
            s.chain,
            lambda r: dict(zip(("y", "dx", "dw"), map(np.asarray, r), strict=True)),
        )
    return parts


def numpy_parts(s: Size, options: dict[str, Any]) -> dict[str, Part]:
    """In NumPy, the derivatives by hand: each call makes a new array, and there is nothing else."""
    x, w, ones = start(s)
    rules: dict[str, Any] = {  # y = f(x, w), and the gradients of x and w from that of y
        "add": (np.add, lambda g, x: (g, g)),
        "multiply": (np.multiply, lambda g, x: (g * w, g * x)),
        "matmul": (np.dot, lambda g, x: (g.dot(w.T), x.T.dot(g))),
    }
    parts: dict[str, Part] = {}
    for name, (f, pull) in rules.items():

        def forward(f: Any = f) -> Any:
            return chain(f, x, w, s.chain)

        def both(f: Any = f, pull: Any = pull) -> dict[str, Any]:
            ys = [x]
            for _ in range(s.chain):
                ys.append(f(ys[-1], w))
            y, g, dw = ys.pop(), ones, None
            while ys:
                g, more = pull(g, ys.pop())
                dw = more if dw is None else dw + more
            return {"y": y, "dx": g, "dw": dw}

        parts[f"{name} forward"] = forward, s.chain, lambda y: {"y": y}
        parts[f"{name} both"] = both, s.chain, lambda found: found
    return parts


def plain_parts(F: Any, s: Size) -> dict[str, Part]:
    """In DeZero, MyGrad and Chainer."""
    functions = {"add": lambda x, y: x + y, "multiply": lambda x, y: x * y, "matmul": F.matmul}

    def backward(y: Any, g: Any) -> None:
        if type(F).__name__ == "MyGrad":
            y.backward(F.data(g))
            return
        y.grad = g if type(F).__name__ == "DeZero" else F.data(g)
        y.backward()

    def clear(x: Any) -> None:
        for method in ("null_grad", "cleargrad"):
            getattr(x, method, lambda: None)()

    def data(x: Any) -> Any:
        return np.array(x if isinstance(x, np.ndarray) else F.data(x))

    return taped(s, F.leaf, functions, backward, data, clear)
