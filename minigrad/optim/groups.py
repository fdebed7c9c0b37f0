"""`Groups`: parameters in groups, each with its options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from ..engine import Tensor
from ..errors import ConfigError

_NOT_NEGATIVE = {
    *("alpha", "eps", "initial_accumulator_value", "lambd", "lr", "lr_decay", "momentum"),
    *("momentum_decay", "t0", "weight_decay"),
}


class Groups:
    """What an optimiser is given: `params`, or groups of them, and what holds for all.

    Attributes:
        defaults: the options of a group that says nothing else.
        param_groups: the options and parameters of each group.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        entries = self._list(params)
        if not entries:
            raise ConfigError(f"{type(self).__name__}: got no parameters")
        if not isinstance(entries[0], Mapping):
            entries = [{"params": entries}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        for entry in entries:
            self._add(entry)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def _add(self, group: Mapping[str, Any]) -> None:
        name = type(self).__name__
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown or "params" not in group:
            known = ", ".join(["params", *self.defaults])
            raise ConfigError(f"{name}: a group has the keys {sorted(group)}; known are {known}")
        params = self._list(group["params"])
        taken = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind not in "fV":
                raise ConfigError(f"{name}: parameters are leaf tensors of numbers, got {p!r}")
            if id(p) in taken:
                raise ConfigError(f"{name}: the parameter {p.name or p.shape} is given twice")
            taken.add(id(p))
        new = {**self.defaults, **group, "params": params}
        self._check(new)
        self.param_groups.append(new)

    def _list(self, params: Any) -> list[Any]:
        if isinstance(params, Tensor):
            return [params]
        if isinstance(params, set | frozenset):
            raise ConfigError(f"{type(self).__name__}: a set has no order; give a list")
        if not isinstance(params, Iterable):
            raise ConfigError(
                f"{type(self).__name__}: expected parameters, such as model.parameters(), got "
                f"{type(params).__name__}"
            )
        return list(params)

    def _check(self, group: Mapping[str, Any]) -> None:
        """Raise ConfigError for options without a meaning."""
        name = type(self).__name__
        for key, value in group.items():
            if key in _NOT_NEGATIVE and not (isinstance(value, Real) and float(value) >= 0):
                raise ConfigError(f"{name}: {key} is {value!r}, expected a number ≥ 0")
        betas = group.get("betas", (0.0, 0.0))
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"{name}: betas are two numbers in [0, 1), got {betas}")

    def _params(self) -> list[Tensor]:
        return [p for g in self.param_groups for p in g["params"]]

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v}" for k, v in self.param_groups[0].items() if k != "params")
        return f"{type(self).__name__}({sum(p.size for p in self._params()):,} numbers, {options})"
