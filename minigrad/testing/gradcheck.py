"""Derivatives against central differences: first order, second order, forward mode.

The Jacobian J of f is compared through vᵀJ, for a fixed random cotangent v: one backward pass and
two evaluations per element of the inputs. An error in any entry of J shows, since v has no zeros;
the entry is then looked for, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backend import device_of
from minigrad.engine import Tensor, enable_grad, grad, jvp, no_grad
from minigrad.errors import DTypeError, GradError

Function = Callable[..., Any]
"""Takes Tensors, returns a Tensor or a tuple of them."""

Host = np.ndarray[Any, Any]


class GradcheckError(GradError, AssertionError):
    """A derivative that central differences do not confirm."""


def gradcheck(
    f: Function, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-6, rtol: float = 1e-5
) -> bool:
    """Whether the gradients of `f` at `inputs` agree with (f(x + eps) - f(x - eps)) / 2 eps.

    `inputs` is a Tensor or array, or a sequence of them and of other arguments. The Tensors that
    require grad are checked; if none does, all floating ones and arrays are. They must be float64.

    Returns True. Raises: GradcheckError naming the input, its element, both values, and the element
    of the output where they part; DTypeError if a checked input or an output is not float64.

    >>> import minigrad as mg, numpy as np
    >>> mg.testing.gradcheck(lambda x: x * x, np.array([1.0, 2.0]))
    True
    """
    return _Check("gradcheck", f, inputs, eps, atol, rtol).backward()


def gradgradcheck(
    f: Function, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-6, rtol: float = 1e-5
) -> bool:
    """`gradcheck` of the gradients of `f`: with respect to the inputs and to the cotangents.

    Also holds the gradients computed with `create_graph=True` against those computed without.

    >>> import minigrad as mg, numpy as np
    >>> mg.testing.gradgradcheck(lambda x: x * x * x, np.array([1.0, 2.0]))
    True
    """
    first = _Check("gradgradcheck", f, inputs, eps, atol, rtol)
    count = len(first.arguments)

    def gradients(*values: Any) -> tuple[Tensor, ...]:
        with enable_grad():
            xs = [values[i] for i in first.checked]
            outs = first.outputs(values[:count])
            used = [(o, v) for o, v in zip(outs, values[count:], strict=True) if o.requires_grad]
            if not used:
                return ()
            found = grad(
                [o for o, _ in used], xs, [v for _, v in used], create_graph=True, allow_unused=True
            )
        return tuple(_dense(g) for g in found if g is not None)

    values = first.values()
    cotangents = [
        Tensor(device_of(o.data).asarray(v), requires_grad=True)
        for o, v in zip(first.outputs(values), first.cotangents, strict=True)
    ]
    recorded = [_host(g) for g in gradients(*values, *cotangents)]
    plain = [_host(g) for g in first.gradients() if g is not None]
    for one, two in zip(recorded, plain, strict=True):
        if not np.allclose(one, two, rtol=rtol, atol=atol, equal_nan=True):
            raise GradcheckError(
                f"gradgradcheck: with create_graph=True the gradient is\n{one}\nand without\n{two}"
            )
    second = _Check("gradgradcheck", gradients, [*values, *cotangents], eps, atol, rtol)
    return second.backward()


def check_jvp(
    f: Function, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-6, rtol: float = 1e-5
) -> bool:
    """Whether `mg.jvp` along a random t agrees with (f(x + eps t) - f(x - eps t)) / 2 eps.

    >>> import minigrad as mg, numpy as np
    >>> mg.testing.check_jvp(lambda x: x.sum() * x, np.array([1.0, 2.0]))
    True
    """
    return _Check("check_jvp", f, inputs, eps, atol, rtol).forward()


class _Check:
    """One function at one point."""

    def __init__(
        self, name: str, f: Function, inputs: Any, eps: float, atol: float, rtol: float
    ) -> None:
        self.name, self.f = name, f
        self.eps, self.atol, self.rtol = eps, atol, rtol
        several = isinstance(inputs, Sequence) and not isinstance(inputs, (str, Tensor))
        self.arguments: list[Any] = list(inputs) if several else [inputs]
        self.checked = self._choose()
        self.hosts = [_host(self.arguments[i]).copy() for i in self.checked]
        for i, x in zip(self.checked, self.hosts, strict=True):
            if x.dtype != np.float64:
                raise DTypeError(
                    f"{name}: input {i} is {x.dtype}; central differences need float64. "
                    "Cast it with .astype"
                )
        self.generator = np.random.default_rng(0)
        outs = self.outputs(self.values())
        for k, out in enumerate(outs):
            if out.dtype != np.float64:
                raise DTypeError(f"{name}: output {k} is {out.dtype} for float64 inputs")
        self._repeatable(outs)
        self.cotangents = [self._direction(out.shape) for out in outs]

    def _choose(self) -> list[int]:
        tensors = [i for i, a in enumerate(self.arguments) if getattr(a, "requires_grad", False)]
        chosen = tensors or [i for i, a in enumerate(self.arguments) if _is_floating(a)]
        if not chosen:
            raise DTypeError(f"{self.name}: no floating input to differentiate by")
        return chosen

    def _repeatable(self, outs: list[Tensor]) -> None:
        for k, (one, two) in enumerate(zip(outs, self.outputs(self.values()), strict=True)):
            if not np.array_equal(_host(one), _host(two), equal_nan=True):
                raise GradcheckError(
                    f"{self.name}: output {k} differs between two calls with the same inputs; seed "
                    "the function's random numbers inside it"
                )

    def _direction(self, shape: tuple[int, ...]) -> Host:
        """A random direction without zeros or large entries."""
        signs = self.generator.choice([-1.0, 1.0], shape)
        return np.asarray(signs * self.generator.uniform(0.5, 1.5, shape))

    def values(self, hosts: Sequence[Host] | None = None, *, grad: bool = True) -> list[Any]:
        """The arguments, the checked ones as fresh Tensors of their own devices."""
        values = list(self.arguments)
        for i, x in zip(self.checked, hosts or self.hosts, strict=True):
            data = getattr(values[i], "data", values[i]) if isinstance(values[i], Tensor) else x
            array = device_of(data).asarray(x.copy())
            values[i] = Tensor(array, requires_grad=grad)
        return values

    def outputs(self, values: Sequence[Any]) -> list[Tensor]:
        """The floating outputs of f."""
        out = self.f(*values)
        outs = list(out) if isinstance(out, (tuple, list)) else [out]
        for each in outs:
            if each is not None and not isinstance(each, Tensor):
                raise GradError(
                    f"{self.name}: the function returned {type(each).__name__}, expected a Tensor"
                )
        return [each for each in outs if each is not None and each.dtype.kind == "f"]

    def at(self, hosts: Sequence[Host]) -> list[Host]:
        """f's outputs at `hosts`, computed without a graph."""
        with no_grad():
            return [_host(out) for out in self.outputs(self.values(hosts))]

    def gradients(self, cotangents: Sequence[Host] | None = None) -> tuple[Any, ...]:
        """vᵀJ by the engine, one entry per checked input; None where f does not use it."""
        with enable_grad():
            values = self.values()
            outs = self.outputs(values)
            vs = self.cotangents if cotangents is None else cotangents
            pairs = [
                (o, Tensor(device_of(o.data).asarray(v)))
                for o, v in zip(outs, vs, strict=True)
                if o.requires_grad
            ]
            xs = [values[i] for i in self.checked]
            if not pairs:
                return (None,) * len(xs)
            found: tuple[Any, ...] = grad(
                [o for o, _ in pairs], xs, [v for _, v in pairs], allow_unused=True
            )
        for i, x in zip(self.checked, xs, strict=True):
            if not np.array_equal(_host(x), self.hosts[self.checked.index(i)], equal_nan=True):
                raise GradcheckError(f"{self.name}: the function overwrote its input {i}")
        return tuple(None if g is None else _dense(g) for g in found)

    def differences(self, i: int, k: int) -> list[Host]:
        """∂outputs/∂(element k of checked input i), by central differences."""
        moved = [list(self.hosts), list(self.hosts)]
        for sign, hosts in zip((1, -1), moved, strict=True):
            hosts[i] = hosts[i].copy()
            hosts[i].flat[k] += sign * self.eps
        step = moved[0][i].flat[k] - moved[1][i].flat[k]  # as it was rounded
        ahead, behind = self.at(moved[0]), self.at(moved[1])
        return [(a - b) / step for a, b in zip(ahead, behind, strict=True)]

    def backward(self) -> bool:
        analytic = self.gradients()
        for i, (x, g) in enumerate(zip(self.hosts, analytic, strict=True)):
            got = np.zeros(x.shape) if g is None else _host(g)
            if got.shape != x.shape or got.dtype != x.dtype:
                raise GradcheckError(
                    f"{self.name}: the gradient of input {self.checked[i]} is {got.shape} "
                    f"{got.dtype}, the input is {x.shape} {x.dtype}"
                )
            numeric = np.array([self._projected(i, k) for k in range(x.size)]).reshape(x.shape)
            wrong = np.flatnonzero(~self._close(got, numeric))
            if wrong.size:
                worst = max(wrong, key=lambda k: abs(got.flat[k] - numeric.flat[k]))
                raise GradcheckError(self._report(i, int(worst), got, numeric, wrong.size))
        return True

    def _projected(self, i: int, k: int) -> float:
        columns = self.differences(i, k)
        return sum(float((v * d).sum()) for v, d in zip(self.cotangents, columns, strict=True))

    def _close(self, analytic: Any, numeric: Any) -> Any:
        return np.abs(analytic - numeric) <= self.atol + self.rtol * np.abs(numeric)

    def _report(self, i: int, k: int, got: Host, numeric: Host, count: int) -> str:
        x = self.hosts[i]
        name = getattr(self.arguments[self.checked[i]], "name", None)
        place = tuple(map(int, np.unravel_index(k, x.shape)))
        return (
            f"{self.name}: input {self.checked[i]}{f' ({name})' if name else ''} of shape "
            f"{x.shape}, element {place}: analytic {got.flat[k]:.9g}, numeric "
            f"{numeric.flat[k]:.9g} for a random cotangent; {count} of {x.size} elements differ by "
            f"more than {self.atol:g} + {self.rtol:g}·|numeric|{self._entry(i, k)}"
        )

    def _entry(self, i: int, k: int) -> str:
        """The first output element whose own derivative is wrong, in words."""
        for o, column in enumerate(self.differences(i, k)):
            for j in range(min(column.size, 1000)):
                one_hot = [np.zeros(v.shape) for v in self.cotangents]
                one_hot[o].flat[j] = 1.0
                g = self.gradients(one_hot)[i]
                analytic = 0.0 if g is None else float(_host(g).flat[k])
                if not self._close(analytic, column.flat[j]):
                    place = tuple(map(int, np.unravel_index(j, column.shape)))
                    return (
                        f". Output {o}, element {place}: analytic {analytic:.9g}, "
                        f"numeric {column.flat[j]:.9g}"
                    )
        return ""

    def forward(self) -> bool:
        tangents = [self._direction(x.shape) for x in self.hosts]

        def along(*xs: Tensor) -> tuple[Tensor, ...]:
            values = list(self.arguments)
            for i, x in zip(self.checked, xs, strict=True):
                values[i] = x
            return tuple(self.outputs(values))

        values = self.values(grad=False)
        xs = [values[i] for i in self.checked]
        ts = [device_of(x.data).asarray(t) for x, t in zip(xs, tangents, strict=True)]
        _, found = jvp(along, xs, [Tensor(t) for t in ts])
        h = self.eps
        ahead = self.at([x + h * t for x, t in zip(self.hosts, tangents, strict=True)])
        behind = self.at([x - h * t for x, t in zip(self.hosts, tangents, strict=True)])
        for o, (got, a, b) in enumerate(zip(found, ahead, behind, strict=True)):
            analytic, numeric = _host(got), (a - b) / (2 * h)
            for j in np.flatnonzero(~self._close(analytic, numeric)):
                place = tuple(map(int, np.unravel_index(j, numeric.shape)))
                raise GradcheckError(
                    f"{self.name}: output {o} of shape {numeric.shape}, element {place}: forward "
                    f"mode gives {analytic.flat[j]:.9g}, numeric {numeric.flat[j]:.9g}"
                )
        return True


def _host(x: Any) -> Host:
    data = x.data if isinstance(x, Tensor) else x
    if isinstance(data, (float, list)):
        return np.asarray(data)
    return device_of(data).to_host(data)


def _dense(g: Any) -> Any:
    return g.to_dense() if hasattr(g, "to_dense") else g


def _is_floating(a: Any) -> bool:
    return isinstance(a, float) or (hasattr(a, "dtype") and np.dtype(a.dtype).kind == "f")
