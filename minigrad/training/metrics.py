"""Numbers that say how good a model is. They take host arrays and return Python numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import IndexRangeError, ShapeError


class Mean:
    """A weighted running mean.

    >>> m = Mean()
    >>> m.add(2.0, weight=3)
    >>> m.add(4.0)
    >>> m.value
    2.5
    """

    def __init__(self) -> None:
        self.total = self.weight = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """Take in a value."""
        self.total += float(value) * weight
        self.weight += weight

    @property
    def value(self) -> float:
        """The mean so far; NaN before the first value."""
        return self.total / self.weight if self.weight else float("nan")


def accuracy(predicted: Any, target: Any, *, ignore_index: int = -100) -> float:
    """The fraction of targets that were predicted; `ignore_index` marks those that do not count.

    >>> accuracy([1, 2, 0], [1, 1, -100])
    0.5
    """
    p, t = np.asarray(predicted), np.asarray(target)
    if p.shape != t.shape:
        raise ShapeError(
            f"accuracy: predictions have shape {p.shape}, targets {t.shape}; give the predicted "
            "ids, such as scores.argmax(axis=-1)"
        )
    counts = t != ignore_index
    return float((p == t)[counts].mean()) if counts.any() else float("nan")


def class_report(
    predicted: Iterable[int], target: Iterable[int], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class, most frequent first; 0 where nothing was found.

    Raises: ShapeError for unequal numbers, IndexRangeError for a class without a name.

    >>> for row in class_report([0, 0, 1], [0, 1, 1], ["A", "B"]):
    ...     print(row["class"], row["support"], round(row["precision"], 2), row["recall"])
    B 2 1.0 0.5
    A 1 0.5 1.0
    """
    p = np.asarray(list(predicted), dtype=np.int64)
    t = np.asarray(list(target), dtype=np.int64)
    if p.shape != t.shape:
        raise ShapeError(f"class_report: {p.size} predictions, but {t.size} targets")
    classes = np.concatenate([p, t])
    if classes.size and not 0 <= classes.min() <= classes.max() < len(names):
        raise IndexRangeError(
            f"class_report: classes {classes.min()} … {classes.max()}, but {len(names)} names; "
            "leave out what is padding"
        )
    right = np.bincount(t[p == t], minlength=len(names))
    found = np.bincount(p, minlength=len(names))
    there = np.bincount(t, minlength=len(names))
    rows = []
    for i in np.argsort(-there, kind="stable"):
        precision = float(right[i] / found[i]) if found[i] else 0.0
        recall = float(right[i] / there[i]) if there[i] else 0.0
        both = precision + recall
        rows.append(
            {
                "class": names[i],
                "support": int(there[i]),
                "precision": precision,
                "recall": recall,
                "f1": 2 * precision * recall / both if both else 0.0,
            }
        )
    return rows


def format_report(rows: Sequence[dict[str, Any]]) -> str:
    """`class_report` as a table of text."""
    width = max([len("class"), *(len(row["class"]) for row in rows)])
    lines = [f"{'class':<{width}}  support  precision  recall     f1"]
    lines += [
        f"{row['class']:<{width}}  {row['support']:>7}  {row['precision']:>9.3f}"
        f"  {row['recall']:>6.3f}  {row['f1']:>5.3f}"
        for row in rows
    ]
    return "\n".join(lines)
