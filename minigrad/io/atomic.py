"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write to the path that this yields; at the end of the block it becomes `path` in one step.

    A reader, a crash or a full disk finds the old file or the new one, never a part of one. The
    temporary file lies in the same folder (a rename is atomic only within a file system) and is
    flushed to the disk before it takes the name. If the block raises, `path` stays as it was.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "results" / "loss.txt"
    >>> with atomic_write(target) as temporary:
    ...     _ = temporary.write_text("0.25")
    >>> target.read_text()
    '0.25'
    """
    target = Path(path).resolve()  # through a symbolic link, to the file it names
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode  # as the umask has it; a writer that renames would lose it
    try:
        yield temporary
        temporary.chmod(mode)
        _flush(temporary, os.O_RDWR)
        temporary.replace(target)
        if os.name != "nt":  # Windows cannot flush a folder
            _flush(target.parent, os.O_RDONLY)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
