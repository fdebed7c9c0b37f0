"""Images that are read as sequences, row by row or pixel by pixel."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.data.datasets.files import RemoteFile, choose, fetch
from minigrad.errors import DataError

__all__ = ["LabelledImages", "mnist", "read_idx"]


def _file(name: str, digest: str) -> RemoteFile:
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    return RemoteFile("mnist", name, digest, tuple(mirror + name for mirror in mirrors))


_MNIST = {
    "train": (
        _file(
            "train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        _file(
            "train-labels-idx1-ubyte.gz",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
    ),
    "test": (
        _file(
            "t10k-images-idx3-ubyte.gz",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        _file(
            "t10k-labels-idx1-ubyte.gz",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
}


class LabelledImages(NamedTuple):
    """`images` (N, 28, 28) of bytes 0 … 255, and `labels` (N,) of digits."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def mnist(split: str = "train") -> LabelledImages:
    """Handwritten digits (CC BY-SA 3.0): `split` "train" (60,000) or "test" (10,000).

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition".
    """
    images, labels = choose("split", split, _MNIST)
    return LabelledImages(read_idx(fetch(images)), read_idx(fetch(labels)).astype(np.int64))


def read_idx(path: str | Path) -> NDArray[Any]:
    """The array of bytes in a gzipped IDX file, MNIST's format.

    Raises: DataError if the file is not one, or holds less or more than its header says.
    """
    try:
        content = gzip.decompress(Path(path).read_bytes())
    except (EOFError, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a gzip file: {error}") from error
    zeros, kind, ndim = content[:2], content[2:3], content[3] if len(content) > 3 else 0
    start = 4 + 4 * ndim
    if zeros != b"\0\0" or kind != b"\x08" or len(content) < start:
        raise DataError(
            f"{path}: expected an IDX file of unsigned bytes, got header {content[:4]!r}"
        )
    shape = [int(n) for n in np.frombuffer(content, ">i4", ndim, offset=4)]
    if min(shape, default=0) < 0 or len(content) - start != math.prod(shape):
        raise DataError(f"{path}: shape {shape} does not fit {len(content) - start} bytes of data")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
