"""Random ids with given frequencies, in constant time per draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..backend import device as find_device
from ..engine import Tensor
from ..errors import ConfigError, DataError
from .module import Module

__all__ = ["AliasSampler"]

Host = np.ndarray[Any, Any]


class AliasSampler(Module):
    """Draws ids with q(i) = counts[i]^power / Σ counts^power: noise for sampled output losses.

    The alias method: a uniform cell i, and in it either i itself or its one alias. A draw costs
    the same for any number of classes, and one sampler serves several losses. Draws come from the
    random stream of the device it is on, so `mg.manual_seed` repeats them. It has no state to
    save; `.to(device)` moves it.

    Args:
        counts: how often each id occurs, (V,), 0 or more. An id of count 0 is never drawn.
        power: 0.75 flattens the frequencies (Mikolov et al. 2013b); 1 keeps them, 0 ignores them.

    Raises: DataError for counts that are no such row, or for which nothing can be drawn.
    Papers: Walker 1977; the linear set-up: Vose 1991.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> sampler = nn.AliasSampler([16, 1, 0], power=0.5)
    >>> sampler.log_q.numpy().round(3).tolist()
    [-0.223, -1.609, -inf]
    >>> sampler((2, 5)).shape
    (2, 5)
    """

    threshold: Tensor
    alias: Tensor
    log_q: Tensor

    def __init__(self, counts: Any, power: float = 0.75, *, device: Any = None) -> None:
        super().__init__()
        weights = _weights(counts, power)
        threshold, alias = alias_table(weights / weights.sum())
        with np.errstate(divide="ignore"):
            log_q = np.log(weights / weights.sum())
        on = find_device(device)
        for name, table in [("threshold", threshold), ("alias", alias), ("log_q", log_q)]:
            self.register_buffer(name, Tensor(on.asarray(table)), persistent=False)

    @property
    def num_classes(self) -> int:
        return len(self.alias)

    def forward(self, shape: int | tuple[int, ...]) -> Tensor:
        """Ids (int64) of this shape, drawn independently, with replacement."""
        rng = self.alias.device.rng
        cell = Tensor(rng.integers(0, self.num_classes, shape))
        u = Tensor(rng.uniform(0.0, 1.0, shape, "float64"))
        found: Tensor = ops.where(
            u < ops.take(self.threshold, cell, axis=0), cell, ops.take(self.alias, cell, axis=0)
        )
        return found

    def extra_repr(self) -> str:
        return f"{self.num_classes} classes"


def _weights(counts: Any, power: float) -> Host:
    values = counts.numpy() if isinstance(counts, Tensor) else np.asarray(counts)
    values = values.astype(np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise DataError(
            f"AliasSampler: counts of shape {values.shape}; expected a row of numbers, 0 or more, "
            "finite and not all 0"
        )
    if not power >= 0:
        raise ConfigError(f"AliasSampler: power is {power}, expected a number >= 0")
    return np.asarray(np.where(values > 0, np.where(values > 0, values, 1) ** power, 0))


def alias_table(q: Host) -> tuple[Host, Host]:
    """(threshold, alias) for the probabilities q.

    A cell i that is drawn uniformly stands for i with probability threshold[i], else for alias[i].
    """
    n = len(q)
    share = (q * n).tolist()  # what is left of each class, in cells
    alias = list(range(n))
    small = [i for i in range(n) if share[i] < 1]
    large = [i for i in range(n) if share[i] >= 1]
    threshold = np.ones(n)
    while small and large:
        i, j = small.pop(), large[-1]
        threshold[i], alias[i] = share[i], j  # j fills up the rest of cell i
        share[j] -= 1 - share[i]
        if share[j] < 1:
            small.append(large.pop())
    for i in small:  # nothing left to fill up with, by rounding alone
        if not q[i]:
            threshold[i], alias[i] = 0.0, int(q.argmax())
    return threshold, np.array(alias, np.int64)
