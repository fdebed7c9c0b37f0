"""`Rule`: an update rule, written once, on arrays.

A rule makes `out=` calls over scratch buffers: an update allocates nothing. The same text updates a
block of an arena, some rows of a matrix, or a whole matrix, and a GPU's kernel is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from ..backend import Array, chain, namespace, on_cpu
from ..engine import RowSparse
from ..engine.sparse import dense
from .blocks import Block
from .ledger import Cohort

Arrays = list[Array]
Group = Mapping[str, Any]  # the options of a parameter group
Numbers = Mapping[str, Array]  # the numbers of a step, as 0-d arrays


class Rule:
    """What is particular to an optimiser, and how it is brought to arrays.

    Subclasses name their state arrays in `slots`, their numbers in `_numbers`, the options that
    choose what is computed in `switches`, and write `_scalars` and `_update`.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    switches: ClassVar[tuple[str, ...]] = ("maximize", "weight_decay")
    buffers: ClassVar[int] = 2  # scratch arrays that the rule takes
    whole: ClassVar[bool] = False  # the rule needs all of a parameter at once, not blocks or rows

    grad_scale: float
    _chains: dict[Any, Any]

    # -- what a rule says ----------------------------------------------------------------------

    def _names(self, group: Group) -> tuple[str, ...]:
        """Those of `slots` that are used under these options."""
        return self.slots

    def _numbers(self, group: Group) -> dict[str, float]:
        """The numbers kept for each parameter beside its arrays, as they start."""
        return {}

    def _advance(self, numbers: dict[str, Any], group: Group, step: int) -> None:
        """Set the numbers for the next step; `_scalars` finds the present ones in its `state`."""

    def _init(self, name: str, group: Group) -> float:
        """What a fresh state array is full of."""
        return 0.0

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        """The numbers of step `step`, by name: what `_update` finds in `n`."""
        raise NotImplementedError

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        """Write the new values into p and the state arrays; all arrays have one shape.

        Of `group`, only what `switches` names may be looked at: all else is in `n`, as 0-d arrays.
        """
        raise NotImplementedError

    def _structure(self, group: Group) -> Any:
        """Which calls an update consists of."""
        return self._scaled(group), [*map(bool, map(group.get, self.switches))]

    def _scaled(self, group: Group) -> bool:
        return bool(group.get("maximize")) or self.grad_scale != 1

    # -- on arrays -----------------------------------------------------------------------------

    def _formula(
        self, xp: Any, arrays: Arrays, n: Numbers, room: Arrays, group: Group, scaled: bool
    ) -> None:
        """`_update` of p, g and the state, with g scaled as it is read, unless it is skipped."""
        p, g, *state = arrays
        *scratch, last = room
        if scaled:
            g = xp.multiply(g, n["gradient"], out=last)
        if "skip" not in n:
            self._update(xp, p, g, state, n, scratch, group)
            return
        before = [each.copy() for each in (p, *state)]
        self._update(xp, p, g, state, n, scratch, group)
        for each, old in zip((p, *state), before, strict=True):
            each[...] = xp.where(n["skip"] > 0, old, each)

    def _chain(self, xp: Any, n: Numbers, cohort: Cohort) -> Any:
        """On a GPU, the kernel of `_formula`, if it can be one."""
        if on_cpu(xp):
            return None
        key = repr(self._structure(cohort.group)), cohort.names, *n
        if key not in self._chains:
            formula = partial(self._formula, group=cohort.group, scaled=cohort.scaled)
            arrays = 2 + len(cohort.names or ())
            name, room = type(self).__name__, self.buffers + 1
            self._chains[key] = chain(name, formula, arrays, tuple(n), room)
        return self._chains[key]

    def _sweep(
        self,
        data: Array,
        grad: Array,
        places: Arrays,
        given: list[Any],
        flats: Arrays,
        n: Numbers,
        room: Arrays,
        *,
        cohort: Cohort,
        blocks: tuple[Block, ...],
    ) -> None:
        """The update of some blocks of an arena; small gradients are copied side by side first."""
        xp, group, scaled = namespace(data), cohort.group, cohort.scaled
        last, flat, fast = -1, grad, self._chain(xp, n, cohort)
        for start, stop, copies, source, offset, _ in blocks:
            for i in copies:
                g, place = given[i], places[i]
                if g is not None and g is not place:
                    place[...] = g
            if source < 0 or given[source] is None:
                g = grad[start:stop]
            else:
                if source != last:
                    last, flat = source, given[source].reshape(-1)
                g = flat[start - offset : stop - offset]
            arrays = [data[start:stop], g, *[a[start:stop] for a in flats]]
            if fast is None or not fast.run(arrays, n.values()):
                scratch = [row[: stop - start] for row in room]
                self._formula(xp, arrays, n, scratch, group, scaled)

    def _each(
        self,
        p: Array,
        g: Any,
        state: Arrays,
        n: Numbers,
        room: Arrays,
        *,
        cohort: Cohort,
    ) -> None:
        xp, arrays = namespace(p), [p, dense(g), *state]
        fast = None if self.whole else self._chain(xp, n, cohort)
        if fast is None or not fast.run(arrays, n.values()):
            scratch = [row[: p.size].reshape(p.shape) for row in room]
            self._formula(xp, arrays, n, scratch, cohort.group, cohort.scaled)

    def _rows(
        self,
        p: Array,
        g: Any,
        state: Arrays,
        n: Numbers,
        room: Arrays,
        *,
        cohort: Cohort,
    ) -> None:
        """The same update on the rows that have a gradient; the others are untouched."""
        g = RowSparse(*g).coalesce()
        rows = [a[g.indices] for a in (p, *state)]
        flats = [a.reshape(-1) for a in (*rows, g.values)]
        for start in range(0, flats[0].size, room[0].size or 1):
            part = [a[start : start + room[0].size] for a in flats]
            self._each(part[0], part[-1], part[1:-1], n, room, cohort=cohort)
        for a, new in zip((p, *state), rows, strict=True):
            a[g.indices] = new
