"""CUDA kernels on the CPU: the same text under g++, one thread per CUDA thread, and under TSAN.

What this can show: that a kernel computes what its reference does, for every thread and block, and
that its threads wait for each other where they must. What only a GPU can show is speed, occupancy
and the order of memory between its caches.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend.kernels.kernel import Kernel, Launch, Parameter, options, source

HEADER = Path(__file__).with_name("host.h")
C_TYPES = {"i64": ctypes.c_longlong, "u64": ctypes.c_ulonglong, "double": ctypes.c_double}


def compiler() -> str | None:
    """g++, if there is one."""
    return shutil.which("g++")


def library(kernels: Sequence[Kernel], dtype: str, folder: Path) -> ctypes.CDLL:
    """The kernels of a file for arrays of `dtype`, compiled in `folder`."""
    path = folder / f"{Path(kernels[0].file).stem}{len(kernels)}_{dtype}.so"
    if not path.exists():
        text = _text(kernels, dtype) + "".join(map(_entry, kernels))
        _compile(text, path, ["-O1", "-shared", "-fPIC"])
    return ctypes.CDLL(str(path))


def launcher(folder: Path) -> Callable[[Kernel, Launch, tuple[Any, ...]], None]:
    """For `kernel.LAUNCHERS[np.ndarray]`: runs the CUDA text, not the reference."""

    def launch(kernel: Kernel, shape: Launch, args: tuple[Any, ...]) -> None:
        entry = library_of(kernel, kernel.dtype(args), folder)
        raw = [
            ctypes.c_void_p(arg.ctypes.data) if p.array else C_TYPES[p.type](arg)
            for p, arg in zip(kernel.parameters, args, strict=True)
        ]
        entry(
            ctypes.c_uint(shape.grid),
            ctypes.c_uint(shape.block),
            ctypes.c_size_t(shape.shared),
            *raw,
        )

    return launch


def library_of(kernel: Kernel, dtype: str, folder: Path) -> Any:
    """The entry point of one kernel."""
    from minigrad.backend.kernels import kernels
    from minigrad.backend.kernels.chain import MADE

    beside = [each for each in (*kernels(), *MADE.values()) if each.file == kernel.file]
    return getattr(library(beside, dtype, folder), f"run_{kernel.name}")


def sanitize(
    kernel: Kernel, shape: Launch, args: tuple[Any, ...], folder: Path, *flags: str
) -> str:
    """Run once under the thread sanitizer: its report, empty if it found no race."""
    make, names = [], []
    for i, (parameter, arg) in enumerate(zip(kernel.parameters, args, strict=True)):
        if not parameter.array:
            names.append(f"({parameter.type}){arg}")
            continue
        names.append(f"a{i}.data()")
        flat = np.ascontiguousarray(arg).reshape(-1)
        if flat.dtype.kind in "iu":
            make.append(f"std::vector<{parameter.type}> a{i} = {{{', '.join(map(str, flat))}}};")
        else:
            make.append(f"std::vector<{parameter.type}> a{i}({flat.size}, {parameter.type}(0.1f));")
    dtype = kernel.dtype(args)
    call = _run(kernel, f"{shape.grid}, {shape.block}", str(shape.shared), ", ".join(names))
    text = _text([kernel], dtype) + f"int main() {{ {' '.join(make)} {call} }}\n"
    path = folder / f"tsan_{kernel.name}"
    _compile(text, path, ["-O1", "-g", "-fsanitize=thread", *flags])
    ran = subprocess.run(
        # Its shadow memory wants the address space where it expects it.
        ["setarch", "-R", str(path)], capture_output=True, text=True, check=False
    )  # fmt: skip
    return ran.stderr if ran.returncode or "WARNING" in ran.stderr else ""


def _text(kernels: Sequence[Kernel], dtype: str) -> str:
    defined = "".join(
        f"#define {name} {value}\n"
        for name, value in (each.removeprefix("-D").split("=") for each in options(dtype))
    )
    return f'#include "{HEADER}"\n{defined}{source(*kernels)}\n'


def _declared(p: Parameter) -> str:
    return f"{p.type}{'*' if p.array else ''} {p.name}"


def _run(kernel: Kernel, shape: str, shared: str, args: str) -> str:
    if not kernel.barriers:
        return f"mg_run_in_turn({shape}, {kernel.name}, {args});"
    together = "true" if kernel.cooperative or kernel.cluster else "false"
    return f"mg_run_at_once({shape}, {shared}, {together}, {kernel.name}, {args});"


def _entry(kernel: Kernel) -> str:
    parameters = ", ".join(map(_declared, kernel.parameters))
    args = ", ".join(p.name for p in kernel.parameters)
    body = _run(kernel, "mg_g, mg_b", "mg_s", args)
    launch = "unsigned mg_g, unsigned mg_b, size_t mg_s"
    return f'extern "C" void run_{kernel.name}({launch}, {parameters}) {{ {body} }}\n'


def _compile(text: str, path: Path, flags: list[str]) -> None:
    written = path.with_suffix(".cpp")
    written.write_text(text, encoding="utf-8")
    command = [
        str(compiler()),
        "-std=c++20",
        "-ffp-contract=off",
        *flags,
        str(written),
        "-o",
        str(path),
    ]
    ran = subprocess.run([*command, "-pthread"], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"g++ refuses {path.stem}:\n{ran.stderr[:4000]}")
