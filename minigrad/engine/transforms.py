"""Functions of functions: grad, vjp, jvp, Jacobians, Hessians.

All of them are short, because a derivative rule runs on Tensors as well as on arrays: the second
derivative is the first one recorded, and forward mode is the vjp of the vjp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from ..backend import device_of
from ..errors import GradError, ShapeError
from .define import alias
from .gradients import cotangent
from .hooks import shared
from .modes import enable_grad
from .operators import ops
from .tape import Edge, edge
from .tensor import Tensor, wrap
from .tree import flatten
from .walk import pull

Tensors = Tensor | Sequence[Tensor]

# Whether a function is being called that a transform will differentiate
_INSIDE: ContextVar[bool] = ContextVar("minigrad.transform", default=False)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """Gradients of `outputs` with respect to `inputs`, without touching any `.grad`.

    Computes Σ_k grad_outputs[k]ᵀ ∂outputs[k]/∂input for each input. Only the lines between the two
    are walked. Returns a Tensor for a single input, a tuple for a sequence of inputs.

    Args:
        outputs: one Tensor or several.
        inputs: Tensors that require grad: leaves or intermediate results.
        grad_outputs: cotangents, one per output; None means ones for a single element.
        create_graph: record the computation, so that the result can be differentiated again.
        retain_graph: keep the saved values; by default the same as `create_graph`.
        allow_unused: give None, instead of an error, for an input that plays no part.

    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> (g := mg.grad(x**3, x, create_graph=True)).item()
    27.0
    >>> mg.grad(g, x).item()
    18.0
    """
    if callable(outputs):
        raise GradError("grad: got a function, expected results; value_and_grad(f)(x) takes one")
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    single = isinstance(inputs, Tensor)
    ins: list[Tensor] = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None or not isinstance(grad_outputs, list | tuple):
        grad_outputs = [grad_outputs] * len(outs) if grad_outputs is None else [grad_outputs]
    if len(grad_outputs) != len(outs):
        raise ShapeError(f"grad: {len(outs)} outputs, but {len(grad_outputs)} grad_outputs")
    for i, x in enumerate(ins):
        if not x.requires_grad:
            raise GradError(
                f"grad: input {i} does not require grad, so nothing was recorded for it"
            )
    roots = []
    for out, given in zip(outs, grad_outputs, strict=True):
        if out.requires_grad:
            roots.append((edge(out), cotangent(out, given, create_graph, what="grad")))
    keys = [edge(x) for x in ins]
    found: dict[Edge, Any] = {}
    if roots:
        found = pull(
            roots,
            targets=set(keys),
            retain_graph=create_graph if retain_graph is None else retain_graph,
            create_graph=create_graph,
        )
    grads = []
    for i, (key, x) in enumerate(zip(keys, ins, strict=True)):
        g = found.get(key)
        if g is None and not allow_unused:
            raise GradError(
                f"grad: input {i} ({x.name or x.shape}) was not used to compute the outputs; "
                "pass allow_unused=True to get None for it"
            )
        grads.append(shared(g))
    return grads[0] if single else tuple(grads)


def _track(args: Sequence[Any]) -> list[Tensor]:
    """Each argument as a Tensor of its own on the tape, tied to the outer tape if it is on one."""
    tracked = []
    with enable_grad():
        for a in args:
            t = ops.asarray(a)
            tracked.append(alias(t) if t.requires_grad else t.detach().requires_grad_())
    return tracked


def _outer(args: Sequence[Any]) -> bool:
    """Whether someone outside may differentiate what we do: by an argument, or by a captured value.

    A function that another transform differentiates may capture that one's variables.
    """
    return _INSIDE.get() or any(isinstance(a, Tensor) and a.requires_grad for a in args)


def _zeros_like(t: Tensor) -> Tensor:
    return wrap(device_of(t.data).xp.zeros(t.shape, dtype=t.dtype))


def _call(f: Callable[..., Any], xs: Sequence[Tensor], what: str, *, many: bool = False) -> Any:
    token = _INSIDE.set(True)
    try:
        with enable_grad():
            out = f(*xs)
    finally:
        _INSIDE.reset(token)
    for o in out if many and isinstance(out, tuple) else (out,):
        if not isinstance(o, Tensor):
            raise GradError(f"{what}: the function returned {type(o).__name__}, expected a Tensor")
    return out


def value_and_grad(
    f: Callable[..., Tensor],
    argnums: int | tuple[int, ...] = 0,
    *,
    create_graph: bool | None = None,
) -> Callable[..., tuple[Tensor, Any]]:
    """A function that returns f(*args) and its gradient with respect to the arguments `argnums`.

    The gradient is recorded if an argument itself requires grad (so these can be nested), or as
    `create_graph` says. An argument may be a nested tuple, list or dict of Tensors, such as a
    module's parameters by name; its gradient is nested in the same way.

    >>> import minigrad as mg
    >>> value, g = mg.value_and_grad(lambda x: (x * x).sum())(mg.tensor([1.0, 2.0]))
    >>> value.item(), g
    (5.0, tensor([2., 4.]))
    """
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def wrapped(*args: Any) -> tuple[Tensor, Any]:
        leaves, rebuild = flatten([args[i] for i in chosen])
        record = _outer(leaves) if create_graph is None else create_graph
        xs = list(args)
        tracked = _track(leaves)
        for i, x in zip(chosen, rebuild(tracked), strict=True):
            xs[i] = x
        value = _call(f, xs, "value_and_grad")
        grads = grad(value, tracked, create_graph=record, allow_unused=True)
        full = rebuild(
            [_zeros_like(t) if g is None else g for g, t in zip(grads, tracked, strict=True)]
        )
        value = value if record else value.detach()
        return value, (full[0] if isinstance(argnums, int) else tuple(full))

    return wrapped


def vjp(
    f: Callable[..., Any], *primals: Any, create_graph: bool | None = None
) -> tuple[Any, Callable[..., tuple[Tensor, ...]]]:
    """f(*primals), and the function that takes a cotangent v to (vᵀ ∂f/∂x for each primal x).

    >>> import minigrad as mg
    >>> y, back = mg.vjp(mg.sin, mg.tensor([0.0, 0.0]))
    >>> back(mg.tensor([1.0, 2.0]))[0]
    tensor([1., 2.])
    """
    record = _outer(primals) if create_graph is None else create_graph
    xs = _track(primals)
    out = _call(f, xs, "vjp", many=True)

    def pullback(*cotangents: Any) -> tuple[Tensor, ...]:
        grads = grad(out, xs, cotangents, create_graph=record, retain_graph=True, allow_unused=True)
        return tuple(_zeros_like(x) if g is None else g for g, x in zip(grads, xs, strict=True))

    if record:
        return out, pullback
    plain = tuple(o.detach() for o in out) if isinstance(out, tuple) else out.detach()
    return plain, pullback


def jvp(
    f: Callable[..., Any],
    primals: Any,
    tangents: Any,
    *,
    create_graph: bool | None = None,
) -> tuple[Any, Any]:
    """f(*primals), and its directional derivative (∂f/∂x) · tangents: forward mode.

    `primals` and `tangents` are one Tensor each, or a sequence of as many.

    The vjp is linear in its cotangent u, so its own vjp with respect to u is the Jacobian times
    a vector (the double-backward trick).

    >>> import minigrad as mg
    >>> y, dy = mg.jvp(lambda x: x**3, mg.tensor(2.0), mg.tensor(1.0))
    >>> dy.item()
    12.0
    """
    many = isinstance(primals, list | tuple)
    ps, ts = (list(primals), list(tangents)) if many else ([primals], [tangents])
    if len(ps) != len(ts):
        raise ShapeError(f"jvp: {len(ps)} primals, but {len(ts)} tangents")
    ts = [ops.asarray(t) for t in ts]
    record = _outer(ps) or _outer(ts) if create_graph is None else create_graph
    xs = _track(ps)
    for x, t in zip(xs, ts, strict=True):
        if x.shape != t.shape:
            raise ShapeError(f"jvp: a primal has shape {x.shape}, its tangent {t.shape}")
    out = _call(f, xs, "jvp", many=True)
    outs = out if isinstance(out, tuple) else (out,)
    live = [o for o in outs if o.requires_grad]
    us = [_zeros_like(o).requires_grad_() for o in live]
    back = grad(live, xs, us, create_graph=True, allow_unused=True)
    pairs = [(g, t) for g, t in zip(back, ts, strict=True) if g is not None and g.requires_grad]
    found: dict[int, Any] = {}
    if pairs:
        pulled = grad(
            [g for g, _ in pairs],
            us,
            [t for _, t in pairs],
            create_graph=record,
            allow_unused=True,
        )
        found = {id(o): dot for o, dot in zip(live, pulled, strict=True) if dot is not None}
    dots = tuple(found[id(o)] if id(o) in found else _zeros_like(o) for o in outs)
    if not record:
        outs = tuple(o.detach() for o in outs)
    return (outs, dots) if isinstance(out, tuple) else (outs[0], dots[0])


def jacobian(f: Callable[[Tensor], Tensor], x: Any, *, create_graph: bool | None = None) -> Tensor:
    """∂f/∂x with shape (*f(x).shape, *x.shape), one backward pass per element of f(x)."""
    record = _outer([x]) if create_graph is None else create_graph
    (x,) = _track([x])
    y = _call(f, [x], "jacobian")
    rows = []
    xp = device_of(x.data).xp
    for i in range(y.size):
        e = xp.zeros(y.size, dtype=y.dtype)
        e[i] = 1
        g = None
        if y.requires_grad:
            g = grad(
                y,
                x,
                wrap(e.reshape(y.shape)),
                create_graph=record,
                retain_graph=True,
                allow_unused=True,
            )
        rows.append(_zeros_like(x) if g is None else g)
    if not rows:
        return wrap(xp.zeros((*y.shape, *x.shape), dtype=y.dtype))
    return ops.reshape(ops.stack(rows), (*y.shape, *x.shape))


def hessian(f: Callable[[Tensor], Tensor], x: Any) -> Tensor:
    """∂²f/∂x² of a scalar function, with shape (*x.shape, *x.shape)."""
    return jacobian(lambda t: value_and_grad(f, create_graph=True)(t)[1], x)


def hvp(f: Callable[[Tensor], Tensor], x: Any, v: Any) -> Tensor:
    """(∂²f/∂x²) · v of a scalar function, at the cost of about two gradients.

    >>> import minigrad as mg
    >>> mg.hvp(lambda x: (x**3).sum(), mg.tensor([1.0, 2.0]), mg.tensor([1.0, 0.0]))
    tensor([6., 0.])
    """
    (t,) = _track([x])
    _, g = value_and_grad(f, create_graph=True)(t)
    if not g.requires_grad:
        return _zeros_like(t)
    h = grad(g, t, [ops.asarray(v)], create_graph=_outer([x]), allow_unused=True)
    return _zeros_like(t) if h is None else h
