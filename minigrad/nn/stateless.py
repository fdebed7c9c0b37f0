"""A module as a function of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine import Tensor
from ..errors import CheckpointError, ShapeError
from .module import Module


def functional_call(module: Module, params: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """module(*args, **kwargs) with the Tensors `params` in the place of its parameters and buffers.

    The function of its parameters that a module is: to differentiate it by them with
    `mg.value_and_grad`, `mg.jvp`, `mg.hvp` or `mg.vmap`, or to run it with weights that another
    network made. Names are those of `named_parameters()`; what is not named keeps its value. A
    parameter in several places is replaced in all of them.

    The module is changed during the call and restored after it, also when it raises: one thread at
    a time may call it.

    Raises: CheckpointError for names that the module does not have, or two different values for one
    parameter; ShapeError for another shape.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> model = nn.Linear(3, 1)
    >>> x = mg.ones((2, 3))
    >>> loss = lambda params: (nn.functional_call(model, params, x) ** 2).sum()
    >>> value, grads = mg.value_and_grad(loss)(dict(model.named_parameters()))
    >>> grads["weight"].shape
    (1, 3)
    """
    own = {path: t for path, _, _, t in module._all_tensors()}
    if unknown := sorted(set(params) - set(own)):
        raise CheckpointError(
            f"functional_call: {type(module).__name__} has no {unknown}; it has {list(own)}"
        )
    new: dict[int, Tensor] = {}
    for path, value in params.items():
        t = value if isinstance(value, Tensor) else Tensor(own[path].device.asarray(value))
        if t.shape != own[path].shape:
            raise ShapeError(
                f"functional_call: {path} has shape {t.shape}, expected {own[path].shape}"
            )
        if new.setdefault(id(own[path]), t) is not t:
            raise CheckpointError(f"functional_call: {path} is shared and has two values")
    changed: list[tuple[Module, str, Any]] = []
    try:
        for part in module.modules():
            for name, value in list(vars(part).items()):
                other = _replaced(value, new)
                if other is not value:
                    changed.append((part, name, value))
                    part.__dict__[name] = other
        return module(*args, **kwargs)
    finally:
        for part, name, value in changed:
            part.__dict__[name] = value


def _replaced(value: Any, new: Mapping[int, Tensor]) -> Any:
    """`value`, or a copy in which Tensors are replaced; modules inside are left as they are."""
    if isinstance(value, Tensor):
        return new.get(id(value), value)
    if isinstance(value, list | tuple):
        items = [_replaced(item, new) for item in value]
        same = all(a is b for a, b in zip(items, value, strict=True))
        if same:
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        entries = {key: _replaced(item, new) for key, item in value.items()}
        same = all(entries[key] is value[key] for key in value)
        return value if same else entries
    return value
