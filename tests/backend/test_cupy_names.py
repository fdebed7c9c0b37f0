"""Whatever `backend.cuda` asks of CuPy is there: the sources against a record of CuPy's names."""

import re
from pathlib import Path

import pytest

import minigrad.backend.cuda
import minigrad.parallel
from minigrad.testing.cupy_api import api
from tests.backend import cupy_names, fake_cupy

SOURCES = [
    *Path(minigrad.backend.cuda.__file__).parent.glob("*.py"),
    Path(minigrad.parallel.__file__).with_name("nccl.py"),
]
ROOTS = {  # what a variable holds, in the files above
    "cupy": "", "_cupy": "", "xp": "", "cupyx": "cupyx", "runtime": "cuda.runtime",
    "ranges": "cuda.nvtx", "nccl": "cuda.nccl", "_nccl": "cuda.nccl", "gpu": "cuda.Device",
    "_gpu": "cuda.Device", "_communicator": "cuda.nccl.NcclCommunicator", "stream": "cuda.Stream",
    "compute": "cuda.Stream", "main": "cuda.Stream", "side": "cuda.Stream", "graph": "cuda.Graph",
    "pool": "cuda.MemoryPool", "raw": "RawKernel", "copied": "cuda.Event", "used": "cuda.Event",
    "begun": "cuda.Event", "there": "ndarray",
}  # fmt: skip
HOLDS = {"RawKernel.kernel": "cuda.function.Function", "ndarray.data": "cuda.MemoryPointer"}
CHAIN = re.compile(rf"(?<![\w\"'`])(?:\w+\.)*?({'|'.join(ROOTS)})((?:\.[a-zA-Z_]\w*)+)")


def asked(text):
    """(namespace, name) for each link of the chains of names that start at CuPy's objects."""
    for line in text.splitlines():
        for root, chain in CHAIN.findall(line.partition("  #")[0]):
            space = ROOTS[root]
            for name in chain.split(".")[1:]:
                yield space, name
                full = f"{space}.{name}".lstrip(".")
                if (space := HOLDS.get(full, full)) not in cupy_names.known():
                    break


USED = {link for path in SOURCES for link in asked(path.read_text(encoding="utf-8"))}


def missing(links):
    known = cupy_names.known()
    return {
        f"{space}.{name}"
        for space, name in links
        if name not in known.get(space, known["cupy alone"])
        and not (space == "" and (name in api() or name in known))
    }


def test_the_sources_ask_for_what_there_is():
    assert len(USED) > 50
    assert missing(USED) == set()


def test_a_wrong_name_is_seen():
    assert missing(asked("self.cupy.cuda.get_curent_stream().ptr")) == {"cuda.get_curent_stream"}
    assert missing(asked("stream.begin_capturing()")) == {"cuda.Stream.begin_capturing"}
    assert missing(asked("raw.kernel.pointer")) == {"cuda.function.Function.pointer"}
    assert missing(asked("cupy.get_default_pool()")) == {".get_default_pool"}


def test_a_device_has_the_attributes_that_are_read():
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    keys = set(re.findall(r'attributes\["(\w+)"\]', text))
    assert {"MultiProcessorCount"} < keys <= cupy_names.known()["device attributes"]


def test_the_stand_in_has_nothing_that_cupy_lacks():
    cupy, known = fake_cupy.make(), cupy_names.known()
    links = {("", n) for n in vars(cupy) if not n.startswith("_")}
    links |= {("cuda", n) for n in vars(cupy.cuda)}
    for space in ("runtime", "driver", "nvtx", "nvrtc", "memory"):
        links |= {(f"cuda.{space}", n) for n in vars(getattr(cupy.cuda, space))}
    assert missing(links) == set()
    assert set(fake_cupy.FakeDevice.attributes) <= known["device attributes"]


def test_the_record_is_this_cupys():
    pytest.importorskip("cupy")
    if cupy_names.record()["version"] not in cupy_names.known()["version"]:
        pytest.skip("another version of CuPy")
    found = {space: set(names.split()) for space, names in cupy_names.record().items()}
    assert found == cupy_names.known()


def test_what_is_passed_is_taken():
    cupy = pytest.importorskip("cupy")
    assert "stream" in cupy.ndarray.set.__doc__
    assert "stream" in cupy.cuda.Graph.launch.__doc__
    assert {"options", "enable_cooperative_groups"} <= set(cupy.RawKernel.__doc__.split())
