"""Chosen steps of a folded loop: `expand={"lstm": [3, 4, 19]}` shows these, the others folded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ..errors import ConfigError
from .boxes import is_module, modules_of
from .ir import Path
from .patterns import INDEX, Clock
from .repeats import Run
from .tape import Tape

Expand = Iterable[str] | Mapping[str, Any] | str | bool
Chosen = dict[str, list[int]]  # name of a loop → its steps


def chosen_steps(expand: Expand) -> Chosen:
    """The steps that `expand` names, by loop.

    Raises: ConfigError if they are no list of numbers.
    """
    found: Chosen = {}
    if not isinstance(expand, Mapping):
        return found
    for name, steps in expand.items():
        if isinstance(steps, bool):
            continue
        try:
            found[name] = [int(s) for s in ([steps] if isinstance(steps, int) else steps)]
        except (TypeError, ValueError):
            raise ConfigError(
                f"draw_graph: expand[{name!r}] is {steps!r}; expected numbers of steps, or True"
            ) from None
    return found


def check_names(tape: Tape, names: Iterable[str]) -> None:
    """Raise ConfigError for a name that is neither a fused op's nor a module's."""
    known = {f"{node.op.name!r}" for node in tape.keys if node.op.plain is not None}
    scopes = {node.scope for node in tape.keys}
    paths = {
        ".".join(scope[start:stop])
        for scope in scopes
        for start in (0, 1)
        for stop in range(start + 1, len(scope) + 1)
    }
    for name in names:
        if f"{name!r}" not in known and name not in paths:
            has = f"fused ops here: {', '.join(sorted(known))}" if known else "no fused op is here"
            raise ConfigError(f"draw_graph: expand: there is no {name!r} to open; {has}")


@dataclass(frozen=True, slots=True)
class Part:
    """Repetitions of a run that are drawn as one cell: a whole run, or some of its steps."""

    run: Run
    kind: str
    clock: Clock
    family: str = ""  # equal for the parts of one run; empty for a whole run


class Revealer:
    """Cuts runs into the steps that were asked for and the stretches between them."""

    def __init__(self, chosen: Chosen) -> None:
        self.chosen, self.met = chosen, set[str]()
        self.loops: dict[str, int] = {}

    def parts(self, run: Run, kind: str, prefix: Path, backwards: bool, name: str) -> list[Part]:
        """The parts of a run whose items stand in the boxes `prefix`."""
        whole = Clock(INDEX[kind], run.count, backwards)
        steps: set[int] = set()
        for key in self._names(kind, prefix):
            self.loops.setdefault(key, run.count)
            if key in self.chosen:
                self.met.add(key)
                steps |= {self._step(key, step, whole) for step in self.chosen[key]}
        if not steps:
            return [Part(run, kind, whole)]
        bounds = sorted({0, run.count, *steps, *(s + 1 for s in steps)})
        found = []
        for start, stop in pairwise(bounds):
            piece = replace(run, start=run.start + start * run.period, count=stop - start)
            clock = Clock(INDEX[kind], stop - start, backwards, start, run.count)
            found.append(Part(piece, kind, clock, name))
        return found

    def check(self) -> None:
        """Raise for a name that is no loop's."""
        unknown = sorted(set(self.chosen) - self.met)
        if unknown:
            known = ", ".join(f"{name!r} ({n:,} times)" for name, n in self.loops.items())
            raise ConfigError(
                f"draw_graph: expand: there is no loop {unknown[0]!r} that could show single "
                f"steps; {f'the loops are {known}' if known else 'nothing was folded'}"
            )

    @staticmethod
    def _names(kind: str, prefix: Path) -> list[str]:
        """What a loop is called: its op or module, the module's path, or what it repeats."""
        named = [part for part in prefix if not part.startswith("×")]
        names = [kind]
        if named:
            names.append(named[-1].partition("@")[0].partition(" ")[0])
            if is_module(named[-1]):
                path = modules_of(prefix)
                names += [".".join(path), ".".join(path[1:])]
        return list(dict.fromkeys(name for name in names if name))

    @staticmethod
    def _step(key: str, step: int, clock: Clock) -> int:
        at = step + clock.count if step < 0 else step
        if not 0 <= at < clock.count:
            raise ConfigError(
                f"draw_graph: expand[{key!r}] asks for step {step}; there are {clock.count:,}, "
                f"0 … {clock.count - 1:,}"
            )
        return clock.count - 1 - at if clock.backwards else at
