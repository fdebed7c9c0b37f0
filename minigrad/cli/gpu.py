"""`minigrad gpu`: whether this machine's GPU does what minigrad asks of one, thing by thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from .. import nn, ops, optim
from ..backend import cuda, device
from ..engine import Tensor
from ..engine.program.capture import Captured
from ..engine.program.compile import compile as compiled
from ..errors import DeviceError

Check = Callable[[str], Any]
DTYPES = ("float64", "float32", "float16", "bfloat16", "int32")


def gpu(where: str = "cuda") -> Iterator[str]:
    """Lines of the report; the last one says what next. Raises: DeviceError if something fails."""
    reason = cuda.why_not_available()
    if reason is not None:
        raise DeviceError(reason)
    yield cuda.memory_summary()
    failed = 0
    for name, check in CHECKS.items():
        try:
            ours, theirs = check(where), check("cpu")
            np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-3)
        except Exception as error:  # noqa: BLE001  whatever goes wrong is the answer
            failed += 1
            yield f"  FAILS  {name}: {type(error).__name__}: {error}"
        else:
            yield f"  works  {name}"
    if failed:
        raise DeviceError(f"{failed} of {len(CHECKS)} checks failed on {device(where)}")
    yield "next: pytest -m gpu -n 8, and python -m benchmarks --device cuda"


def draw(*shape: int) -> Any:
    """Small whole numbers, whose products are exact in every dtype."""
    return np.random.default_rng(0).integers(-3, 4, shape)


def product(dtype: str) -> Check:
    """A stack of products with a transposed view, in this dtype."""

    def check(where: str) -> Any:
        a = ops.asarray(draw(2, 17, 33), device=where).to(dtype)
        return ops.matmul(a, ops.matrix_transpose(a)).to("float64").numpy()

    return check


def sorted_sums(where: str) -> Any:
    """The gradient of a table of embeddings."""
    table = _seeded(lambda: nn.Embedding(50, 9)).to(where)
    (table(ops.asarray(abs(draw(40, 300)), device=where)) ** 2).mean().backward()
    return _grads(table)[0]


def layer(make: Callable[[], nn.Module], *shape: int) -> Check:
    """Outputs and gradients of a layer."""

    def check(where: str) -> Any:
        module = _seeded(make).to(where)
        y = module(ops.asarray(draw(*shape), dtype="float32", device=where))
        y = y[0] if isinstance(y, tuple) else y
        (y * y).mean().backward()
        return np.concatenate([y.numpy().ravel(), *map(np.ravel, _grads(module))])

    return check


def random_numbers(where: str) -> Any:
    """The host's."""
    return _seeded(lambda: ops.uniform(0, 1, (1000,), device=where)).numpy()


def graph(where: str) -> Any:
    """A training step, captured; its losses."""
    module = _seeded(lambda: nn.LSTM(8, 16)).to(where)
    optimizer = optim.Adam(module.parameters(), lr=0.01)

    def step(x: Tensor, lengths: Any) -> Tensor:
        optimizer.zero_grad()
        y = module(x, lengths=lengths)[0]
        loss: Tensor = (y * y).mean()
        loss.backward()
        optimizer.step()
        return loss

    run, x = compiled(step), ops.asarray(draw(12, 4, 8), dtype="float32", device=where)
    losses = [run(x, np.array(lengths)).item() for lengths in ((12, 1, 5, 7), (3, 9, 12, 2)) * 2]
    for program in run.programs.values():
        if isinstance(program, Captured) and program.eager:
            raise DeviceError("the step was not captured; the log above names the line")
    return losses


def _seeded(make: Callable[[], Any]) -> Any:
    from ..backend import get_rng_state, manual_seed, set_rng_state

    before = get_rng_state()
    manual_seed(0)
    try:
        return make()
    finally:
        set_rng_state(before)


def _grads(module: nn.Module) -> list[Any]:
    return [p.grad.numpy() for p in module.parameters()]


CHECKS: dict[str, Check] = {
    **{
        f"products of {dtype}": product(dtype)
        for dtype in DTYPES
        if dtype != "bfloat16" or find_spec("ml_dtypes")
    },
    "kernels: layer norm": layer(lambda: nn.LayerNorm(33), 7, 33),
    "kernels: GRU": layer(lambda: nn.GRU(8, 16), 12, 4, 8),
    "kernels: LSTM, two directions": layer(lambda: nn.LSTM(8, 16, bidirectional=True), 12, 4, 8),
    "attention": layer(lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), 4, 5, 8),
    "gradients of embeddings": sorted_sums,
    "random numbers": random_numbers,
    "a training step as a graph": graph,
}
