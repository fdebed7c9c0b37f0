"""Sums of many small terms, as a loop's backward pass makes them, in few calls.

A weight that each of T steps uses gets Σₜ Aₜ Bₜ for its gradient: T small products and T sums. Over
operands that lie side by side that is one product, [A₁ A₂ …] [B₁; B₂; …]. And what each step adds
to a slice, as a gradient of zeros elsewhere, is added to the slice alone.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np

from .calls import write
from .line import Line
from .memory import Memory, Ref
from .terms import Part, Product, Slice, Term, adds, inner, operands_of, place_of, plain
from .walk import Homes, Touches, each_list, homes_of

FEWEST = 4  # products that are worth being put together


def sums(lines: list[Line], enough: int) -> list[Line]:
    """The lines with their sums in few calls.

    Operands that wait for their product take room: one is long enough with an inner axis of
    `enough`. If that is 0, all products stay as they are.
    """
    homes = homes_of(lines)
    return each_list(lines, lambda part: _Rewriter(part, homes, enough).rewritten())


class _Rewriter:
    """Finds sums in a list of lines; `instead[i]` is what stands where line i stood."""

    def __init__(self, lines: list[Line], homes: Homes, enough: int) -> None:
        self.lines, self.homes, self.enough = lines, homes, enough
        self.instead: dict[int, list[Line]] = {}
        self.touches = Touches(lines)
        self.versions: dict[Memory, list[int]] = {}
        self.beside: dict[Any, tuple[Ref, int]] = {}

    def rewritten(self) -> list[Line]:
        """The lines, old and new."""
        for total, terms in self._chains():
            self._rewrite(total, terms)
        return [x for i, line in enumerate(self.lines) for x in self.instead.get(i, (line,))]

    # -- finding -----------------------------------------------------------------------------

    def _chains(self) -> list[tuple[Ref, list[Term]]]:
        """Sums of more than two terms: where they are made, and of what."""
        found: dict[Any, tuple[Ref, list[Term]]] = {}
        chains = []
        for i, line in enumerate(self.lines):
            if not adds(line):
                continue
            a, b, out = line.args
            _, terms = found.get(out[:5], (out, []))
            if (
                terms
                and a[:5] == out[:5] != b[:5]
                and not self.touches.any(out, terms[-1].at + 1, i)
            ):
                terms.append(Term(b, i))
            elif out.memory is not a.memory and out.memory is not b.memory:
                found[out[:5]] = out, [Term(a, i), Term(b, i)]
                chains.append(found[out[:5]])
        return self._apart([chain for chain in chains if len(chain[1]) > 2])

    def _apart(self, chains: list[tuple[Ref, list[Term]]]) -> list[tuple[Ref, list[Term]]]:
        """The chains, without those that sum what another one sums: they get a copy of it."""
        first: dict[Any, tuple[Ref, list[Term]]] = {}
        for total, terms in chains:
            known, same = first.setdefault(tuple(t.ref[:5] for t in terms), (total, terms))
            pairs = zip(same, terms, strict=True)
            if (
                same is terms
                or any(self.touches.any(t.ref, s.at, t.at, writes=True) for s, t in pairs)
                or self.touches.any(known, same[-1].at + 1, terms[-1].at, writes=True)
            ):
                continue
            for term in terms:
                self.instead[term.at] = []
                self.touches.remove(term.ref.memory, term.at)
            self._emit(terms[-1].at, write, (total, ..., known), total)
        return [chain for chain in chains if chain[1][0].at not in self.instead]

    def _alone(self, ref: Ref, touches: int) -> bool:
        """Whether `ref` is all of a memory that only so many lines touch, all of them here."""
        memory = ref.memory
        return (
            memory.owner is None
            and not memory.kept
            and memory.nbytes == ref.nbytes
            and self.homes[memory] is self.lines
            and len(self.touches.of[memory]) == touches
        )

    def _product(self, term: Term) -> Product | None:
        if not self.enough or not self._alone(term.ref, 2):
            return None
        made = self.touches.of[term.ref.memory][0]
        if self.lines[made].writes != (term.ref.memory,):
            return None
        operands = operands_of(self.lines[made])
        return operands and Product(term, made, *operands)

    def _slice(self, term: Term, total: Ref) -> Slice | None:
        if not self._alone(term.ref, 3):
            return None
        zeros, made, _ = self.touches.of[term.ref.memory]
        if any(self.lines[i].function is not write for i in (zeros, made)):
            return None
        whole, _, zero = self.lines[zeros].args
        part, every, value = self.lines[made].args
        if (
            whole.nbytes != term.ref.nbytes
            or type(zero) is Ref
            or np.any(zero)
            or every is not ...
            or type(value) is not Ref
            or (value.shape, value.dtype) != (part.shape, part.dtype)
            or self.touches.any(value, made, term.at, writes=True)
        ):
            return None
        place = part.through(term.ref, total)
        return None if place is None else Slice(term, place, value)

    # -- rewriting ---------------------------------------------------------------------------

    def _rewrite(self, total: Ref, terms: list[Term]) -> None:
        """Put the products of a sum together, and add slices where they belong."""
        together: list[list[Product]] = []
        growing: dict[Any, list[Product]] = {}  # the last group of each kind
        parts: list[Part] = []
        for term in terms:
            product = self._product(term)
            if product is None:
                parts.append(self._slice(term, total) or term)
                continue
            group = growing.get(product.kind)
            if group is None or self._is_enough(group):
                group = growing[product.kind] = []
                together.append(group)
            group.append(product)
        for group in together:
            parts += [group] if len(group) >= FEWEST else [product.term for product in group]
        if all(type(part) is Term for part in parts):
            return
        for term in terms:
            self.instead[term.at] = []
        parts.sort(key=place_of)
        for k, part in enumerate(parts):
            if isinstance(part, list):
                self._together(part, total, k == 0)
            elif isinstance(part, Slice):
                self._part(part, total, k == 0)
            elif k == 0:
                self._emit(part.at, write, (total, ..., part.ref), total)
            else:
                self._emit(part.at, np.add, (total, part.ref, total), total)

    def _is_enough(self, group: list[Product]) -> bool:
        """Whether a product of the group is as quick as one of more."""
        return len(group) >= FEWEST and sum(p.a.shape[2] for p in group) >= self.enough

    def _part(self, part: Slice, total: Ref, first: bool) -> None:
        """Add what is not zero."""
        at = part.term.at
        if first:
            self._emit(at, write, (total, ..., 0), total)
        for i in self.touches.of[part.term.ref.memory][:2]:
            self.instead[i] = []
        self._emit(at, np.add, (part.place, part.value, part.place), total)

    def _together(self, group: list[Product], total: Ref, first: bool) -> None:
        """One product in the place of several."""
        at, made = group[-1].term.at, group[-1].made
        new = Ref.compact(Memory(total.nbytes), total.shape, total.dtype)
        a = self._side_by_side([p.a for p in group], group, 2)
        rights = [p.b for p in group if p.b is not None]
        if rights:
            b = self._side_by_side(rights, group, 1)
            out = Ref.compact(new.memory, (*a.shape[:-1], b.shape[-1]), new.dtype)
            product = self._emit(at, np.matmul, (a, b, out), out, made)
        else:
            out = Ref.compact(new.memory, a.shape[:-1], new.dtype)
            args = (a, len(a.shape) - 1, None, out, False)
            product = self._emit(at, np.add.reduce, args, out, made)
        product.times = len(group)
        for each in group:
            self.instead.setdefault(each.made, [])
        if first:
            self._emit(at, write, (total, ..., new), total)
        else:
            self._emit(at, np.add, (total, new, total), total)

    def _side_by_side(self, operands: list[Ref], group: list[Product], axis: int) -> Ref:
        """Copies of the operands in a row along `axis`."""
        stands = [
            (x[:5], self._version(x.memory, p.made)) for x, p in zip(operands, group, strict=True)
        ]
        key = axis, tuple(stands)
        found, last = self.beside.get(key, (None, 0))
        if found is not None and last < group[-1].term.at:
            return found
        like, columns = operands[0], inner(operands[0]) == 1
        lengths = [x.shape[axis] for x in operands]
        shape = [*like.shape[:axis], sum(lengths), *like.shape[axis + 1 :]]
        if columns:
            shape[1:] = shape[:0:-1]
        memory = Memory(int(np.prod(shape)) * like.dtype.itemsize)
        row = Ref.compact(memory, tuple(shape), like.dtype)
        if columns:
            row = row.swapped
        offset = 0
        for x, length, product in zip(operands, lengths, group, strict=True):
            place = row._replace(offset=offset * row.strides[axis], shape=x.shape)
            self.instead.setdefault(product.made, [])
            self._emit(product.made, write, (plain(place), ..., plain(x)), place)
            offset += length
        self.beside[key] = plain(row), group[-1].made
        return plain(row)

    def _version(self, memory: Memory, at: int) -> int:
        """How many lines have written into a memory before line `at`."""
        versions = self.versions.get(memory)
        if versions is None:
            touches = self.touches.of[memory]
            versions = self.versions[memory] = [
                i for i in touches if memory in self.lines[i].writes
            ]
        return bisect_left(versions, at)

    def _emit(
        self, at: int, function: Any, args: tuple[Any, ...], to: Ref, like: int | None = None
    ) -> Line:
        """Put a line where line `at` stood."""
        old = self.lines[at if like is None else like]
        reads = [a.memory for a in args if type(a) is Ref]
        new = Line(function, args, {}, reads, (to.memory,), old.op, old.at)
        self.instead[at].append(new)
        return new
