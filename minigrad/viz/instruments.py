"""Instruments for lectures: what a network does, measured and drawn with matplotlib.

Each has a function that measures and returns arrays, and one that draws and returns a Figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import device_of
from ..engine import Tensor, edge, jacobian, no_grad, pull
from ..errors import ConfigError, ShapeError, missing_extra
from .build import Names, build
from .chart import LIGHT_COLOURS
from .fold import fold
from .record import record
from .roles import mark_gates

Floats = np.ndarray[Any, np.dtype[np.float64]]


def hidden_gradients(
    layer: Any, x: Tensor, loss: Callable[[Tensor], Tensor] | None = None
) -> list[float]:
    """‖∂L/∂h_t‖ for t = 0 … T-1, through all later steps.

    Args:
        layer: a recurrent layer (RNN, LSTM, GRU) of one direction; its last layer is measured.
        x: (T, B, I), its input.
        loss: of the output (T, B, H); None: the sum of the last step.
    """
    out = layer(x)
    output = out[0] if isinstance(out, tuple) else out
    total = output[-1].sum() if loss is None else loss(output)
    with record(total, expand=True) as seen:
        pull([(edge(total), device_of(total.data).xp.ones_like(total.data))])  # no .grad is written
    at = {node: i for i, node in enumerate(seen.tape.lines)}
    for node in reversed(seen.tape.lines):  # the composite stacks its states into the output
        if node in seen.tape.inside and node.op.name == "stack" and len(node.parents) == len(x):
            lines = [at[of] for of, _ in seen.tape.sources(node)]
            return [seen.grads[line].norm if line in seen.grads else 0.0 for line in lines]
    raise ConfigError(
        f"hidden_gradients: found no recurrent loop of {len(x)} steps inside "
        f"{type(layer).__name__}; give an RNN, LSTM or GRU without projection"
    )


def gradient_through_time(
    layers: Mapping[str, Any], x: Tensor, loss: Callable[[Tensor], Tensor] | None = None
) -> Any:
    """The vanishing gradient, seen: ‖∂L/∂h_t‖ over the steps of each layer, on a log scale.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013).

    Args:
        layers: name → recurrent layer.
        x: (T, B, I), the input of all.
        loss: of the output (T, B, H); None: the sum of the last step.
    """
    figure, axes = _figure(7.2, 4.2)
    ends = []
    for i, (name, layer) in enumerate(layers.items()):
        norms = np.maximum(hidden_gradients(layer, x, loss), 1e-45)
        stroke, ink = LIGHT_COLOURS[i % len(LIGHT_COLOURS)]
        axes.semilogy(range(len(norms)), norms, color=stroke, lw=2.2)
        ends.append((float(norms[0]), name, ink))
    axes.set_xlabel("step t")
    _title(axes, "‖∂L/∂h$_t$‖: what reaches each step")
    axes.grid(axis="y", color="#E2E8F0", lw=0.8)
    longest = max((len(name) for name in layers), default=0)
    axes.set_xlim(-(0.05 + 0.02 * longest) * len(x), len(x) - 0.5)
    low, high = np.log10(axes.get_ylim())
    least = (high - low) / 18  # names stay apart by so much
    place = -np.inf
    for norm, name, ink in sorted(ends):
        place = max(float(np.log10(norm)), place + least)
        axes.annotate(
            name, (0, norm), xytext=(-0.025 * len(x), 10**place), textcoords="data",
            color=ink, ha="right", va="center", weight="bold",
        )  # fmt: skip
    return figure


def gate_activations(layer: Any, x: Tensor) -> dict[str, Floats]:
    """Name → (units, T): mean activation over the batch of each gate, units in up to 16 groups."""
    out = layer(x)
    output = out[0] if isinstance(out, tuple) else out
    total = output.sum()
    with record(total, expand=True) as seen:
        pass
    ir = fold(build(seen.tape, Names())[0])
    mark_gates(ir)
    found = {}
    for item in ir.items.values():
        if item.kind == "gate" and len(item.lines) == len(x):
            columns = [seen.values[line].units for line in item.lines]
            found[item.title.partition(" = ")[0]] = np.array(columns).T
    if not found:
        raise ConfigError(
            f"gate_activations: found no gates in {type(layer).__name__}; give an LSTM or a GRU, "
            "and 3 steps or more"
        )
    return found


def gate_map(layer: Any, x: Tensor, tokens: Sequence[str] | None = None) -> Any:
    """What the gates do over a sentence: one heat map per gate, units down, steps across.

    Args:
        layer: an LSTM or a GRU of one layer and direction.
        x: (T, B, I).
        tokens: T words to write below.
    """
    if tokens is not None and len(tokens) != len(x):
        raise ShapeError(f"gate_map: {len(tokens)} tokens for {len(x)} steps")
    gates = gate_activations(layer, x)
    figure, first = _figure(min(2.5 + 0.35 * len(x), 14), 1.1 + 1.25 * len(gates), rows=len(gates))
    for axes, (name, values) in zip(np.atleast_1d(first), gates.items(), strict=True):
        low = -1.0 if "candidate" in name else 0.0
        image = axes.imshow(values, cmap="cividis", vmin=low, vmax=1, aspect="auto")
        axes.set_ylabel(name.replace("  ", " "), rotation=0, ha="right", va="center")
        axes.spines[:].set_visible(False)
        axes.set_yticks([])
        axes.set_xticks([])
        axes.figure.colorbar(image, ax=axes, shrink=0.9).outline.set_visible(False)
    last = np.atleast_1d(first)[-1]
    if tokens is None:
        last.set_xlabel("step t")
    else:
        words = [str(t).replace("$", r"\$") for t in tokens]
        last.set_xticks(range(len(words)), words, rotation=45, ha="right", rotation_mode="anchor")
    return figure


def jacobian_spectrum(f: Callable[[Tensor], Tensor], x: Tensor) -> Floats:
    """Singular values of ∂f/∂x at x, largest first: what f stretches and what it forgets."""
    matrix = np.asarray(jacobian(f, x).numpy(), dtype=np.float64)
    return np.asarray(np.linalg.svd(matrix.reshape(-1, x.size), compute_uv=False), np.float64)


def spectrum_plot(spectra: Mapping[str, Sequence[float]]) -> Any:
    """Singular values by rank on a log scale, e.g. of `jacobian_spectrum` after 1, 5, 20 steps."""
    figure, axes = _figure(6.4, 4.0)
    for i, (name, values) in enumerate(spectra.items()):
        stroke, _ = LIGHT_COLOURS[i % len(LIGHT_COLOURS)]
        shown = np.maximum(np.asarray(values, dtype=float), 1e-45)
        ranks = range(1, len(shown) + 1)
        axes.semilogy(ranks, shown, "o-", ms=3.5, lw=1.8, color=stroke, label=name)
    axes.axhline(1.0, color="#94A3B8", lw=1, zorder=0)
    axes.set_xlabel("rank")
    _title(axes, "singular values of the Jacobian")
    axes.grid(axis="y", color="#E2E8F0", lw=0.8)
    axes.legend(frameon=False)
    return figure


def landscape(
    loss: Callable[[], Tensor],
    parameters: Sequence[Tensor],
    *,
    span: float = 1.0,
    points: int = 21,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """The loss on a plane through the parameters, along two random directions.

    The directions have, for each row of each parameter, the norm of that row, so that the picture
    does not depend on the scale of the weights (Li et al., "Visualizing the loss landscape of
    neural nets", 2018, section 4). The parameters are what they were afterwards.

    Returns: the steps (points,), and the losses (points, points).
    """
    parameters = list(parameters)
    if points < 2:
        raise ConfigError(f"landscape: points is {points}, expected at least 2")
    rng = np.random.default_rng(seed)
    before = [p.numpy().copy() for p in parameters]
    first, second = ([_like(rng, values) for values in before] for _ in range(2))
    steps: Floats = np.linspace(-span, span, points)
    losses = np.empty((points, points))
    try:
        with no_grad():
            for i, a in enumerate(steps):
                for j, b in enumerate(steps):
                    for p, v, d, e in zip(parameters, before, first, second, strict=True):
                        p.assign_((v + a * d + b * e).astype(v.dtype))
                    losses[i, j] = float(loss().item())
    finally:
        for p, values in zip(parameters, before, strict=True):
            p.assign_(values)
    return steps, losses


def landscape_plot(steps: Floats, losses: Floats) -> Any:
    """Contours of `landscape`; the cross is where the parameters are."""
    figure, axes = _figure(5.6, 4.6)
    shown = np.log10(np.maximum(losses, 1e-12)) if losses.min() > 0 else losses
    contours = axes.contourf(steps, steps, shown.T, levels=24, cmap="cividis")
    axes.plot(0, 0, "+", color="#FFFFFF", ms=12, mew=2)
    bar = figure.colorbar(contours, ax=axes)
    bar.outline.set_visible(False)
    title = "log₁₀ loss" if losses.min() > 0 else "loss"
    axes.set(xlabel="direction 1", ylabel="direction 2", aspect="equal")
    _title(axes, title)
    return figure


def _like(rng: np.random.Generator, values: np.ndarray[Any, Any]) -> Floats:
    direction = rng.standard_normal(values.shape)
    if values.ndim < 2:
        return direction * np.linalg.norm(values) / (np.linalg.norm(direction) + 1e-12)
    axes = tuple(range(1, values.ndim))
    norms = np.sqrt((direction**2).sum(axis=axes, keepdims=True))
    scaled: Floats = direction / (norms + 1e-12)
    return scaled * np.sqrt((values.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))


def _figure(width: float, height: float, rows: int = 1) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", extra="viz") from None
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots(rows, 1)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(colors="#475569")
    return figure, axes


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontweight="bold", fontsize=11, color="#0F172A")
