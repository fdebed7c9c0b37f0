"""The GPU's random stream: Philox4x32-10, one kernel per draw, a state of two integers.

A counter-based generator has no hidden state on the device: word n of the stream is a function of
the key and of n. So a draw is one elementwise kernel, an exact resume needs only (key, offset), and
the CUDA source below can be held against `words`, the same function in NumPy, without a GPU.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np

from minigrad.backend.random import State, Stream, drawn_as
from minigrad.errors import CheckpointError

KIND = "philox4x32-10"

# n is the index of a 32-bit word; who reads several words takes n a multiple of as many.
SOURCE = r"""
typedef unsigned long long mg_u64;
__device__ __forceinline__ void mg_block(mg_u64 key, mg_u64 block, unsigned* c) {
  unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
  c[0] = (unsigned)block; c[1] = (unsigned)(block >> 32); c[2] = 0; c[3] = 0;
  for (int round = 0; round < 10; ++round) {
    unsigned h0 = __umulhi(0xD2511F53u, c[0]), l0 = 0xD2511F53u * c[0];
    unsigned h1 = __umulhi(0xCD9E8D57u, c[2]), l1 = 0xCD9E8D57u * c[2];
    c[0] = h1 ^ c[1] ^ k0; c[1] = l1; c[2] = h0 ^ c[3] ^ k1; c[3] = l0;
    k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
  }
}
__device__ __forceinline__ float mg_uniform(mg_u64 key, mg_u64 n) {
  unsigned c[4]; mg_block(key, n >> 2, c);
  return (float)(c[n & 3] >> 8) * 5.9604645e-08f;                       // 24 bits: [0, 1)
}
__device__ __forceinline__ double mg_uniform_double(mg_u64 key, mg_u64 n) {
  unsigned c[4]; mg_block(key, n >> 2, c); unsigned j = n & 3;
  return ((c[j] >> 5) * 67108864.0 + (c[j + 1] >> 6)) * 1.1102230246251565e-16;   // 53 bits
}
__device__ __forceinline__ float mg_normal(mg_u64 key, mg_u64 n) {
  unsigned c[4]; mg_block(key, n >> 2, c); unsigned j = n & 3;          // Box-Muller
  float u = (float)c[j] * 2.3283064e-10f + 1.1641532e-10f;              // (0, 1]
  return sqrtf(-2.0f * logf(u)) * cosf(6.2831855f * ((float)(c[j + 1] >> 8) * 5.9604645e-08f));
}
__device__ __forceinline__ double mg_normal_double(mg_u64 key, mg_u64 n) {
  double u = 1.0 - mg_uniform_double(key, n), v = mg_uniform_double(key, n + 2);
  return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
__device__ __forceinline__ long long mg_integer(mg_u64 key, mg_u64 n, long long low, mg_u64 span) {
  unsigned c[4]; mg_block(key, n >> 2, c); unsigned j = n & 3;
  return low + (long long)((((mg_u64)c[j] << 32) | c[j + 1]) % span);
}
"""

# draw: (parameters, what element i is, the 32-bit words it reads)
DRAWS: dict[str, tuple[str, str, int]] = {
    "uniform": (
        "float32 low, float32 width", "low + width * mg_uniform(key, start + i)", 1),
    "uniform_double": (
        "float64 low, float64 width", "low + width * mg_uniform_double(key, start + 2 * i)", 2),
    "normal": (
        "float32 mean, float32 std", "mean + std * mg_normal(key, start + 2 * i)", 2),
    "normal_double": (
        "float64 mean, float64 std", "mean + std * mg_normal_double(key, start + 4 * i)", 4),
    "bernoulli": (
        "float32 p", "mg_uniform(key, start + i) < p ? 1 : 0", 1),
    "integers": (
        "int64 low, uint64 span", "mg_integer(key, start + 2 * i, low, span)", 2),
}  # fmt: skip

Fill = Callable[..., Any]
"""fill(draw, shape, dtype, key, start, *parameters) → array: how a device computes a draw."""


class PhiloxStream(Stream):
    """A stream that is a key and the index of the next word; `fill` draws, `argsort` permutes."""

    def __init__(self, seed: int, fill: Fill, argsort: Callable[[Any], Any]) -> None:
        self._lock = threading.Lock()
        self._fill = fill
        self._argsort = argsort
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        key = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        with self._lock:
            self._key, self._offset = key, 0

    def uniform(
        self, low: float = 0.0, high: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        return self._draw(_wide("uniform", dtype), shape, dtype, low, high - low)

    def normal(
        self, mean: float = 0.0, std: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        return self._draw(_wide("normal", dtype), shape, dtype, mean, std)

    def integers(self, low: int, high: int, shape: Any = (), dtype: Any = "int64") -> Any:
        if low >= high:
            raise ValueError(f"integers: low ({low}) must be less than high ({high})")
        return self._draw("integers", shape, dtype, low, high - low)

    def permutation(self, n: int) -> Any:
        return self._argsort(self.integers(0, 2**62, n))

    def bernoulli(self, p: float, shape: Any = (), dtype: Any = "float32") -> Any:
        return self._draw("bernoulli", shape, dtype, p)

    def get_state(self) -> State:
        with self._lock:
            return {"kind": KIND, "key": self._key, "offset": self._offset}

    def set_state(self, state: State) -> None:
        try:
            known = state["kind"] == KIND
            key, offset = int(state["key"]), int(state["offset"])
        except (KeyError, TypeError, ValueError):
            known = False
        if not known:
            raise CheckpointError(f"set_state: not a state of a {KIND} stream: {str(state)[:80]}")
        with self._lock:
            self._key, self._offset = key, offset

    def _draw(self, draw: str, shape: Any, dtype: Any, *parameters: float) -> Any:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        words_read = math.prod(shape) * DRAWS[draw][2]
        with self._lock:
            key, start = self._key, self._offset
            self._offset += -(-words_read // 4) * 4  # whole blocks: every draw starts aligned
        return self._fill(draw, shape, dtype, key, start, *parameters)


def _wide(draw: str, dtype: Any) -> str:
    return f"{draw}_double" if drawn_as(dtype) is np.float64 else draw


def cupy_stream(
    cupy: Any, seed: int, activate: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> PhiloxStream:
    """A stream on the CUDA device that `activate()` makes current, by default the one that is."""

    def fill(
        draw: str, shape: tuple[int, ...], dtype: Any, key: int, start: int, *parameters: float
    ) -> Any:
        with activate():
            out = cupy.empty(shape, dtype)
            return _kernel(cupy, draw)(np.uint64(key), np.uint64(start), *parameters, out)

    def argsort(keys: Any) -> Any:
        with activate():
            return cupy.argsort(keys)

    return PhiloxStream(seed, fill, argsort)


@cache
def _kernel(cupy: Any, draw: str) -> Any:
    parameters, element, _ = DRAWS[draw]
    inputs = f"uint64 key, uint64 start, {parameters}"
    return cupy.ElementwiseKernel(
        inputs, "T out", f"out = (T)({element})", f"mg_{draw}_draw", preamble=SOURCE
    )


def words(key: int, start: int, count: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Words start … start+count-1 of the stream `key`, uint32: the definition, in NumPy."""
    u8 = np.uint64
    low, shift = u8(0xFFFFFFFF), u8(32)
    n = np.arange(start, start + count, dtype=u8)
    c0, c1 = (n >> u8(2)) & low, n >> u8(34)
    c2, c3 = np.zeros_like(n), np.zeros_like(n)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = c0 * u8(0xD2511F53), c2 * u8(0xCD9E8D57)
        c0, c1 = (p1 >> shift) ^ c1 ^ u8(k0), p1 & low
        c2, c3 = (p0 >> shift) ^ c3 ^ u8(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.choose((n & u8(3)).astype(np.intp), (c0, c1, c2, c3)).astype(np.uint32)


def numpy_fill(
    draw: str, shape: tuple[int, ...], dtype: Any, key: int, start: int, *parameters: float
) -> Any:
    """`Fill` in NumPy: what the kernels compute, bit for bit but for the normals' last bits."""
    size = math.prod(shape)
    each = DRAWS[draw][2]
    w = words(key, start, size * each).reshape(size, each).astype(np.uint64)
    number: Any = np.float64 if draw.endswith("_double") else np.float32
    first: Any
    unit: Any
    if draw == "integers":
        low, span = int(parameters[0]), int(parameters[1])
        first = ((w[:, 0] << np.uint64(32)) | w[:, 1]) % np.uint64(span)
        return (first.astype(np.int64) + low).reshape(shape).astype(dtype)
    if draw.endswith("_double"):
        unit = ((w[:, ::2] >> np.uint64(5)) * 2.0**26 + (w[:, 1::2] >> np.uint64(6))) * 2.0**-53
        first = 1.0 - unit[:, 0]
    else:
        unit = (w >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
        first = w[:, 0].astype(np.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)
    a = number(parameters[0])
    if draw == "bernoulli":
        return (unit[:, 0] < a).reshape(shape).astype(dtype)
    b = number(parameters[1])
    if draw.startswith("uniform"):
        return (a + b * unit[:, 0]).reshape(shape).astype(dtype)
    z = np.sqrt(-2 * np.log(first)) * np.cos(number(2 * math.pi) * unit[:, 1])
    return (a + b * z).reshape(shape).astype(dtype)
