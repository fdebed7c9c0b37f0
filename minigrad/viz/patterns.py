"""Many texts that count along → one text with an index: layers.0, layers.1, … → layers[ℓ]."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .ir import Path

_NUMBER = re.compile(r"\d+")
INDEX = {"steps": "t", "layers": "ℓ", "repeats": "i"}


@dataclass(frozen=True, slots=True)
class Clock:
    """The repetitions of a run by their index: t = 0, 1, …, or backwards from the last.

    A part of a run has its `first` repetition later than the run's, which has `total` in all.
    """

    index: str
    count: int
    backwards: bool
    first: int = 0
    total: int = 0

    def at(self, k: int) -> int:
        k += self.first
        return (self.total or self.count) - 1 - k if self.backwards else k

    @property
    def now(self) -> str:
        """The index in a title: t, or the number of a single step."""
        return self.index if self.count > 1 else str(self.at(0))

    @property
    def before(self) -> str:
        if self.count == 1:
            return str(self.at(0) + (1 if self.backwards else -1))
        return f"{self.index}+1" if self.backwards else f"{self.index}−1"

    def each(self, picked: list[int]) -> str:
        """Is it "[t]": step t reads element t, or "[19−t]": it reads from the end? Else nothing."""
        if len(picked) != self.count or len(set(picked)) < 2:
            return ""
        if picked == [self.at(k) for k in range(self.count)]:
            return f"[{self.index}]"
        last = (self.total or self.count) - 1
        if picked == [last - self.at(k) for k in range(self.count)]:
            return f"[{last}−{self.index}]"
        return ""

    def which(self, repetitions: list[int]) -> str:
        """In words: "t = 19", "t = 3, 4", "t = 2 … 9", "all t"."""
        ordered = sorted({self.at(k) for k in repetitions})
        if len(ordered) == self.count > 1 and not self.total:
            return f"all {self.index}"
        if len(ordered) > 3 and ordered == list(range(ordered[0], ordered[-1] + 1)):
            return f"{self.index} = {ordered[0]} … {ordered[-1]}"
        text = ", ".join(map(str, ordered[:4])) + (", …" if len(ordered) > 4 else "")
        return f"{self.index} = {text}"


def common(paths: list[Path]) -> Path:
    """The longest path that all start with."""
    first, last = min(paths), max(paths)
    n = 0
    while n < min(len(first), len(last)) and first[n] == last[n]:
        n += 1
    return first[:n]


def pattern(texts: list[str], kind: str) -> str:
    """One text for all repetitions: what counts along becomes the index."""
    first, last = texts[0], texts[-1]
    if all(text == first for text in texts):
        return first
    parts, values = _NUMBER.split(first), [_NUMBER.findall(text) for text in texts]
    if any(_NUMBER.split(text) != parts for text in texts):
        return ""
    index, out = INDEX[kind], parts[0]
    for column, part in enumerate(parts[1:]):
        numbers = [int(v[column]) for v in values]
        start, step = numbers[0], numbers[1] - numbers[0]
        if all(text[column] == values[0][column] for text in values):
            out += values[0][column] + part
            continue
        if all(n == start + step * k for k, n in enumerate(numbers)) and abs(step) == 1:
            sign = "" if step == 1 else "−"
            shown = f"{start}{sign or '+'}{index}" if start else f"{sign}{index}"
        else:
            shown = f"·{index}"
        out += ("[" + shown + "]" if out and out[-1].isalpha() else shown) + part
    return out if last != first else first


def pattern_path(paths: list[Path], kind: str) -> Path:
    """One path for all repetitions; a repeat or an opened op is named as in the second."""
    if all(path == paths[0] for path in paths):
        return paths[0]
    if len({len(path) for path in paths}) > 1:
        return ()
    return tuple(
        column[0]
        if len(set(column)) == 1
        else column[min(1, len(column) - 1)]
        if all("@" in part for part in column)
        else f"[{INDEX[kind]}]"
        for column in zip(*paths, strict=True)
    )
