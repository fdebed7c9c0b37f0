"""`Rule`: an update rule, written once, on arrays.

A rule makes `out=` calls over scratch buffers: an update allocates nothing. The same text updates a
block of an arena, some rows of a matrix, or a whole matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..backend import Array, namespace
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
        xp, group = namespace(data), cohort.group
        last, flat, scaled = -1, grad, cohort.scaled
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
            if scaled:
                g = xp.multiply(g, n["gradient"], out=room[-1][: stop - start])
            scratch = [row[: stop - start] for row in room[:-1]]
            state = [a[start:stop] for a in flats]
            self._update(xp, data[start:stop], g, state, n, scratch, group)

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
        xp, g = namespace(p), dense(g)
        *scratch, last = [row[: p.size].reshape(p.shape) for row in room]
        if cohort.scaled:
            g = xp.multiply(g, n["gradient"], out=last)
        self._update(xp, p, g, state, n, scratch, cohort.group)

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
