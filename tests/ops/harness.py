"""What the tests of the op table share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import MinigradError
from minigrad.testing.samples import Draw, Sample, table

TABLE = table()
SMOOTH = [s for s in TABLE if s.orders]
OTHERS = ["bool", "float16", *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64))]


def samples(chosen: Any) -> Any:
    """Run the test for each of these samples."""
    return pytest.mark.parametrize("sample", list(chosen), ids=str)


def draws(sample: Sample) -> list[Draw]:
    return [a for a in sample.inputs if isinstance(a, Draw)]


def tensors(sample: Sample, inputs: list[Any], device: str = "cpu") -> list[Any]:
    """The arrays among the inputs as tensors, those to differentiate with requires_grad."""
    wanted = sample.differentiated(inputs)
    return [
        mg.asarray(x, device=device).requires_grad_(i in wanted) if hasattr(x, "dtype") else x
        for i, x in enumerate(inputs)
    ]


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def cotangent(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 1.5, shape).astype(dtype)


def gradients(ys: list[Any], xs: list[Any]) -> list[np.ndarray]:
    """Of Σ cotangent · y, with respect to the tensors among xs that require grad."""
    wanted = [x for x in xs if getattr(x, "requires_grad", False)]
    ys = [y for y in ys if getattr(y, "requires_grad", False)]
    if not ys or not wanted:
        return []
    vs = [mg.asarray(cotangent(y.shape, y.dtype), device=y.device) for y in ys]
    found = zip(wanted, mg.grad(ys, wanted, vs, allow_unused=True), strict=True)
    return [np.zeros(x.shape, x.dtype) if g is None else host(g) for x, g in found]


def host(g: Any) -> np.ndarray:
    return mg.asarray(g if isinstance(g, mg.Tensor) else g.to_dense()).detach().numpy()


def run(sample: Sample, inputs: list[Any], device: str = "cpu") -> tuple[list[Any], list[Any]]:
    """Values and gradients as host arrays."""
    xs = tensors(sample, inputs, device)
    ys = outputs(sample(*xs))
    return [y.numpy() for y in ys], gradients(ys, xs)


def assert_same(got: list[Any], expected: list[Any], tolerance: float = 0.0) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def assert_takes_what_the_cpu_takes(dtype: str, device: str) -> None:
    """Each op of the table that the CPU computes with `dtype` in place of floating arguments."""

    def typed(x: Any) -> Any:
        if getattr(x, "dtype", None) != np.float64:
            return x
        if dtype.endswith(("int8", "int16", "int32", "int64")):
            x = np.round(x * 3 if dtype[0] == "i" else abs(x * 3))
        return (x > 0 if dtype == "bool" else x).astype(dtype)

    tried, close = 0, 2e-2 if dtype == "float16" else 1e-6
    for sample in TABLE:
        if dtype == "bool" and sample.op == "scaled_dot_product_attention":
            continue  # the CPU's answer is as good as another
        inputs = list(map(typed, sample.draw()))
        try:
            ys, grads = run(sample, inputs)
        except (MinigradError, TypeError, ValueError):
            continue
        found, slopes = run(sample, inputs, device)
        tried += 1
        for got, expected in zip([*found, *slopes], [*ys, *grads], strict=True):
            assert got.dtype == expected.dtype, sample
            np.testing.assert_allclose(got, expected, close, close, err_msg=str(sample))
    assert tried > 250


def leaf(x: Any) -> mg.Tensor:
    """x as a float64 tensor with requires_grad."""
    return mg.tensor(x, dtype="float64", requires_grad=True)
