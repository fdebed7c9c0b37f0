"""Where the files of a data set are found: a local folder, the cache, or their public address.

1. `MINIGRAD_DATA`, when set, names a folder with one subfolder per data set.
2. The cache: `MINIGRAD_CACHE`, or `minigrad` in the platform's folder for caches.
3. The network, through pooch (`pip install "minigrad[data]"`), into the cache. A download that
broke off goes
   on where it stopped, and a file appears in the cache whole or not at all.

Wherever a file comes from, its SHA-256 is checked before it is read.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.errors import ChecksumError, ConfigError, DataError, missing_extra

__all__ = ["RemoteFile", "cache_dir", "choose", "fetch", "locate", "sha256"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One published file: its data set's folder, its name there, its SHA-256, its addresses."""

    folder: str
    name: str
    sha256: str
    urls: tuple[str, ...]


def cache_dir() -> Path:
    """The folder for downloads: `MINIGRAD_CACHE`, or one in the platform's folder for caches."""
    if chosen := os.environ.get("MINIGRAD_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "minigrad"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def locate(file: RemoteFile) -> Path | None:
    """Where `file` lies on this machine, unread; None if not in `MINIGRAD_DATA` nor in the cache.

    Raises: DataError if `MINIGRAD_DATA` is set and names no folder.
    """
    if local := os.environ.get("MINIGRAD_DATA"):
        if not Path(local).is_dir():
            raise DataError(f"MINIGRAD_DATA={local} is not a folder; correct it or unset it")
        if (path := Path(local) / file.folder / file.name).is_file():
            return path
    path = cache_dir() / file.folder / file.name
    return path if path.is_file() else None


def fetch(file: RemoteFile) -> Path:
    """The path of `file`, downloaded if it is not on this machine, with its checksum verified.

    Raises: ChecksumError for other contents than the published ones, MissingExtraError if a
    download is needed and pooch is not installed, DataError if it fails.
    """
    path = locate(file)
    if path is None:
        return _download(file)
    found = sha256(path)
    if found != file.sha256:
        raise ChecksumError(
            f"{path}: expected the SHA-256 {file.sha256}, found {found}; "
            "it is not the published file, delete it to have it downloaded again"
        )
    return path


def choose(option: str, given: str, known: dict[str, Any]) -> Any:
    """`known[given]`. Raises: ConfigError that lists the known values."""
    if given not in known:
        raise ConfigError(f"{option}={given!r}: expected one of {', '.join(map(repr, known))}")
    return known[given]


def _download(file: RemoteFile) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise missing_extra("pooch", extra="data") from error
    folder = cache_dir() / file.folder
    found, reasons = None, {}
    # The second round goes on where the first broke off, or starts afresh
    for url in file.urls * 2:
        downloader = _Resuming(folder / f"{file.name}.part")
        try:
            path: str = pooch.retrieve(
                url, f"sha256:{file.sha256}", file.name, path=folder, downloader=downloader
            )
            return Path(path)
        except OSError as error:  # all that requests raises is one
            reasons[url] = str(error)
        except ValueError:  # pooch's word for another checksum; it has removed the file
            found, reasons[url] = downloader.found, f"it has the SHA-256 {downloader.found}"
    trials = " and ".join(f"{url}: {reason}" for url, reason in reasons.items())
    remedy = (
        f"Check the network and try again, or put the file at {folder / file.name}, or set "
        f"MINIGRAD_DATA to the folder that holds {file.folder}/{file.name}"
    )
    name = f"{file.folder}/{file.name}"
    if found is not None:
        raise ChecksumError(f"{name}: expected the SHA-256 {file.sha256}, found {trials}. {remedy}")
    raise DataError(f"{name} is not on this machine, and no download succeeded: {trials}. {remedy}")


class _Resuming:
    """A downloader for pooch that keeps what arrived of a broken download and asks for the rest."""

    def __init__(self, part: Path) -> None:
        self.part = part
        self.found: str | None = None  # the checksum of what arrived, once all of it has

    def __call__(self, url: str, output: str, _pooch: Any, check_only: bool = False) -> None:
        import requests  # pooch depends on it

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # a range of the file, not of its compression
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=30) as reply:
            complete = have and reply.status_code == requests.codes.requested_range_not_satisfiable
            if not complete:
                reply.raise_for_status()
                resumed = reply.status_code == requests.codes.partial_content
                with self.part.open("ab" if resumed else "wb") as file:
                    for chunk in reply.iter_content(1 << 16):
                        file.write(chunk)
        self.found = sha256(self.part)
        self.part.replace(output)
