"""What CuPy has of what `backend.cuda` may ask of it; `python -m tests.backend.cupy_names` records.

The table of `minigrad.testing` holds what CuPy and NumPy share. This one holds what only CuPy has:
streams, events, graphs, memory, kernels, and the keys of a device's attributes. It is written where
CuPy is installed, and read everywhere. No GPU is needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_name("cupy_names.json")
SPACES = (
    "RawKernel", "cuda", "cuda.Device", "cuda.Event", "cuda.Graph", "cuda.MemoryPointer",
    "cuda.MemoryPool", "cuda.Stream", "cuda.driver", "cuda.function.Function", "cuda.memory",
    "cuda.nvrtc", "cuda.nvtx", "cuda.runtime", "ndarray",
)  # fmt: skip
ASSIGNED = {  # by __init__: a class does not have them
    "cuda": "nccl", "cuda.Device": "id", "cuda.Event": "ptr", "cuda.Stream": "ptr",
    "cuda.function.Function": "ptr",
    "cuda.nccl": (  # its import needs NCCL; read in cupy_backends/cuda/libs/nccl.pyx
        "NCCL_BFLOAT16 NCCL_FLOAT16 NCCL_FLOAT32 NCCL_FLOAT64 NCCL_INT32 NCCL_INT64 NCCL_INT8 "
        "NCCL_SUM NCCL_UINT32 NCCL_UINT64 NCCL_UINT8 NcclCommunicator available get_unique_id"
    ),
    "cuda.nccl.NcclCommunicator": "allReduce broadcast destroy",
}  # fmt: skip
ATTRIBUTE = "cudaDevAttr"  # `runtime` has a constant for each key of `Device.attributes`


def find(name: str) -> Any:
    """`cupy.name`."""
    import cupy

    found: Any = cupy
    for part in filter(None, name.split(".")):
        found = getattr(found, part)
    return found


def record() -> dict[str, str]:
    """Namespace → its public names, from the installed CuPy."""
    import cupy
    import cupyx

    table = {"version": cupy.__version__}
    alone = {n for n in dir(cupy) if not n.startswith("_")} - set(dir(np))
    table["cupy alone"] = " ".join(sorted(alone))
    table["cupyx"] = " ".join(n for n in sorted(vars(cupyx)) if "pinned" in n)
    keys = [n.removeprefix(ATTRIBUTE) for n in dir(cupy.cuda.runtime) if n.startswith(ATTRIBUTE)]
    table["device attributes"] = " ".join(sorted(keys))
    for space in SPACES:
        names = {n for n in dir(find(space)) if not n.startswith(("_", "cuda", "CU"))}
        table[space] = " ".join(sorted(names | set(ASSIGNED.get(space, "").split())))
    table["cuda.runtime"] += " CUDARuntimeError"
    return table | {s: n for s, n in ASSIGNED.items() if s not in table}


def known() -> dict[str, set[str]]:
    """The recorded table."""
    table = json.loads(RECORD.read_text(encoding="utf-8"))
    return {space: set(names.split()) for space, names in table.items()}


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
