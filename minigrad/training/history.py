"""`History`: one row of numbers per epoch, written down as it happens."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

Row = dict[str, Any]


class History:
    """The rows of a run, in memory and as history.jsonl and history.csv.

    `write(name, text)` replaces a file as a whole, so both files are complete at any time.

    >>> h = History()
    >>> h.append({"epoch": 1, "train_loss": 2.5, "valid_loss": 2.0})
    >>> h.append({"epoch": 2, "train_loss": 2.0, "valid_loss": 1.5})
    >>> h["valid_loss"]
    [2.0, 1.5]
    """

    def __init__(self, write: Callable[[str, str], Any] | None = None) -> None:
        self._write = write
        self.rows: list[Row] = []

    def append(self, row: Row) -> None:
        """Add an epoch and write the files."""
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Replace the files by the rows."""
        if self._write is not None:
            self._write("history.jsonl", self.jsonl())
            self._write("history.csv", self.csv())

    def jsonl(self) -> str:
        """A JSON object per line; what is not finite is null, as JSON has no NaN."""
        return "".join(
            json.dumps({name: _finite(value) for name, value in row.items()}) + "\n"
            for row in self.rows
        )

    def csv(self) -> str:
        """A table with a column for each name in any row."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        if not columns:
            return ""
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return table.getvalue()

    def __getitem__(self, name: str) -> list[Any]:
        """A column, without the epochs that lack it."""
        return [row[name] for row in self.rows if name in row]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
