"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from ..errors import ConfigError
from .module import Module, Parameter


class Sequential(Module):
    """The output of each module is the input of the next.

    Children are named "0", "1", … as in PyTorch.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> mlp = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    >>> mlp(mg.zeros((5, 2))).shape
    (5, 1)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def forward(self, x: Any) -> Any:
        for module in list(vars(self).values()):
            if isinstance(module, Module):
                x = module(x)
        return x

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, i: int) -> Module:
        return list(self.children())[i]


class ModuleList(Module):
    """A list of modules, named "0", "1", …. A plain list as an attribute works just as well."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; returns the list."""
        setattr(self, str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end; returns the list."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, i: int, module: Module) -> None:
        """Add a module before place i; those behind it move on by one."""
        modules = list(self)
        modules.insert(i, module)
        for place, each in enumerate(modules):
            setattr(self, str(place), each)

    def __setitem__(self, i: int, module: Module) -> None:
        setattr(self, str(range(len(self))[i]), module)

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    @overload
    def __getitem__(self, i: int) -> Module: ...
    @overload
    def __getitem__(self, i: slice) -> list[Module]: ...
    def __getitem__(self, i: int | slice) -> Module | list[Module]:
        return list(self.children())[i]


class ModuleDict(Module):
    """Modules by name, in order. A plain dict as an attribute works just as well."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or replace those of the same names."""
        for name, module in dict(modules).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        _check_name(self, name)
        setattr(self, name, module)

    def __getitem__(self, name: str) -> Module:
        return dict(self.named_children())[name]

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        del self.__dict__[name]

    def __contains__(self, name: object) -> bool:
        return name in dict(self.named_children())

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.named_children())

    def __len__(self) -> int:
        return len(dict(self.named_children()))

    def keys(self) -> Iterable[str]:
        return list(self)

    def values(self) -> Iterable[Module]:
        return list(self.children())

    def items(self) -> Iterable[tuple[str, Module]]:
        return list(self.named_children())


class ParameterList(Module):
    """Parameters named "0", "1", …. A plain list as an attribute works just as well."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end; returns the list. Another Tensor becomes a parameter."""
        setattr(self, str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add parameters at the end; returns the list."""
        for value in values:
            self.append(value)
        return self

    def __len__(self) -> int:
        return len(_own(self))

    def __iter__(self) -> Iterator[Parameter]:
        return iter(_own(self).values())

    @overload
    def __getitem__(self, i: int) -> Parameter: ...
    @overload
    def __getitem__(self, i: slice) -> list[Parameter]: ...
    def __getitem__(self, i: int | slice) -> Parameter | list[Parameter]:
        return list(self)[i]

    def __setitem__(self, i: int, value: Any) -> None:
        setattr(self, list(_own(self))[i], _parameter(value))


class ParameterDict(Module):
    """Parameters by name, in order. A plain dict as an attribute works just as well."""

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.update(parameters)

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add parameters, or replace those of the same names."""
        for name, value in dict(parameters).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(self, name)
        setattr(self, name, _parameter(value))

    def __getitem__(self, name: str) -> Parameter:
        return _own(self)[name]

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        del self.__dict__[name]

    def __contains__(self, name: object) -> bool:
        return name in _own(self)

    def __iter__(self) -> Iterator[str]:
        return iter(_own(self))

    def __len__(self) -> int:
        return len(_own(self))

    def keys(self) -> Iterable[str]:
        return list(self)

    def values(self) -> Iterable[Parameter]:
        return list(_own(self).values())

    def items(self) -> Iterable[tuple[str, Parameter]]:
        return list(_own(self).items())


def _own(module: Module) -> dict[str, Parameter]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Parameter)}


def _parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def _check_name(module: Module, name: str) -> None:
    """Names share a space with the attributes of the container itself."""
    taken = hasattr(type(module), name) or name in ("training", "_buffers", "_hooks", "_name")
    if not isinstance(name, str) or not name or "." in name or taken:
        raise ConfigError(
            f"{type(module).__name__}: {name!r} cannot be a name here; give a string without dots "
            "that is no attribute of the container"
        )
