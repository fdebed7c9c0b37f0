"""Mixed precision: parameters, sums and everything but products in float32, products in less.

>>> import minigrad as mg
>>> layer = mg.nn.Linear(3, 2)
>>> with mg.amp.autocast("bfloat16"):           # forward and backward pass
...     loss = layer(mg.ones((4, 3))).sum()
...     loss.backward()
>>> loss.dtype, layer.weight.grad.dtype         # what was rounded were the operands of products
(dtype('float32'), dtype('float32'))

float16 reaches no further than 65504, and small gradients are lost in it: `GradScaler` moves them
to where it is accurate. bfloat16 has float32's range and needs no scaler.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from .backend import Array, device, namespace, on_cpu
from .backend.device_gemm import precision
from .engine import Tensor, kernel, recording, wrap
from .errors import CheckpointError, ConfigError, GradError
from .optim import Optimizer

__all__ = ["GradScaler", "autocast"]


def autocast(dtype: str = "bfloat16", enabled: bool = True) -> AbstractContextManager[None]:
    """Inside the `with`, a GPU multiplies float32 matrices as "float16", "bfloat16" or "tf32".

    Operands are rounded, products are summed in float32, and results are float32: parameters are
    their own master weights. What is computed inside counts, the backward pass too. The CPU, whose
    BLAS knows no such products, goes on in float32.

    Raises: ConfigError for another dtype.
    """
    return precision(dtype if enabled else None)


class GradScaler:
    """Scales the loss, so that no gradient is too small for float16, by as much as goes.

    A step whose gradients are not finite is not taken, and halves the scale; after
    `growth_interval` steps that were, it doubles (Micikevicius et al. 2018, section 3.2). Scale,
    finding and count live on the device: nothing waits for it, and a compiled step has all of it.
    There the optimiser's own count of steps goes on also where a step is not taken.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = mg.optim.SGD([w], lr=0.1), mg.amp.GradScaler(init_scale=4.0)
    >>> scaler.scale((w * 3).sum()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w
    tensor([0.7], requires_grad=True)

    Args:
        init_scale: the scale at first.
        growth_factor: what the scale is multiplied by when it grows.
        backoff_factor: and when gradients were not finite.
        growth_interval: steps between two growths.
        device: where the parameters are.

    Raises: ConfigError unless the scale grows and backs off.
    """

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        *,
        device: Any = None,
    ) -> None:
        if not (init_scale > 0 and growth_factor > 1 > backoff_factor > 0 and growth_interval > 0):
            raise ConfigError(
                "GradScaler: expected init_scale > 0, growth_factor > 1, backoff_factor between 0 "
                f"and 1 and growth_interval > 0, got {init_scale}, {growth_factor}, "
                f"{backoff_factor}, {growth_interval}"
            )
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval = growth_interval
        self._place(init_scale, 0.0, device)
        self._unscaled: set[int] = set()

    def _place(self, scale: float, streak: float, where: Any) -> None:
        """The scale, 1 where a gradient was not finite, and the steps since the scale changed."""
        self._state = device(where).asarray(np.array([scale, 0.0, streak], np.float32))

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the scale: call `backward` on it."""
        factor = wrap(self._state[0, ...])
        return loss * (factor if loss.dtype == np.float32 else factor.astype(loss.dtype))

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale now: before they are clipped, say.

        Raises: GradError if they are divided already.
        """
        if id(optimizer) in self._unscaled:
            raise GradError("unscale_: these gradients are unscaled; call update() after each step")
        self._unscaled.add(id(optimizer))
        for arena in optimizer.arenas:
            kernel(_unscale, arena.gather(), self._state)

    def step(self, optimizer: Optimizer) -> None:
        """`optimizer.step()`, or nothing if a gradient is not finite."""
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        if on_cpu(namespace(self._state)) and not recording():
            if not self._state[1]:
                optimizer.step()
            return
        optimizer.skip = self._state[1, ...]
        try:
            optimizer.step()
        finally:
            optimizer.skip = None

    def update(self) -> None:
        """Set the scale for the next step. Call it once, after the steps of all optimisers."""
        self._unscaled.clear()
        kernel(
            _update,
            self._state,
            growth=self.growth_factor,
            backoff=self.backoff_factor,
            interval=self.growth_interval,
        )

    def get_scale(self) -> float:
        """The scale; this waits for the device."""
        return float(self._state[0])

    def state_dict(self) -> dict[str, float]:
        """The scale, and the steps since it changed; this waits for the device."""
        return {"scale": float(self._state[0]), "growth_tracker": float(self._state[2])}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`. Raises: CheckpointError if it is none."""
        try:
            values = float(state["scale"]), 0.0, float(state["growth_tracker"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"GradScaler: not a state of one: {error!r}") from error
        where = namespace(self._state)
        self._state[...] = where.asarray(np.array(values, np.float32))


def _unscale(flat: Array, state: Array) -> None:
    xp = namespace(flat)
    scale = state[0, ...] if flat.dtype == np.float32 else state[0, ...].astype(flat.dtype)
    xp.divide(flat, scale, out=flat)
    worst = 1 - xp.isfinite(flat).all().astype(np.float32)
    xp.maximum(state[1, ...], worst, out=state[1, ...])


def _update(state: Array, *, growth: float, backoff: float, interval: int) -> None:
    xp = namespace(state)
    scale, found, streak = (state[i, ...] for i in range(3))
    bad, grown = found > 0, streak + 1 >= interval
    factor = xp.where(bad, backoff, xp.where(grown, growth, 1.0)).astype(state.dtype)
    xp.multiply(scale, factor, out=scale)
    streak[...] = xp.where(bad | grown, 0.0, streak + 1).astype(state.dtype)
    found[...] = 0.0
