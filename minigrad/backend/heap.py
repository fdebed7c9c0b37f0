"""Memory that a step frees stays with the process, for the next step.

A training step makes the same arrays again and again. glibc gives blocks above 128 KB back to the
system as they are freed, and the system hands them out anew page by page, filled with zeros: a
quarter of the time of a small Transformer's step. It stops doing so for blocks up to the largest
that it has seen freed (`man mallopt`, M_MMAP_THRESHOLD), 32 MB at most, and then keeps up to 64 MB
in reserve. Who sets such a threshold in the environment (`MALLOC_TRIM_THRESHOLD_` …) decides for
himself, and other allocators take no notice.

A cache of our own on top of this, arrays by shape that nobody refers to any more, makes steps
slower: each shape has memory of its own then, which is not in the processor's cache when its turn
comes.
"""

from __future__ import annotations

import numpy as np

LARGEST = (1 << 25) - (1 << 16)  # bytes; a little less than glibc's limit, which counts its header


def keep_freed() -> None:
    """Free a block of the largest size. Its pages are never touched: it takes some microseconds."""
    np.empty(LARGEST, np.uint8)
