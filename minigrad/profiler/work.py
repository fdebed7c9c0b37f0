"""How much an op computes and moves, from the shapes of its arguments and results.

A multiplication and an addition are two operations, and so is each fused pair of them in a product;
one call of exp or tanh is one. What only rearranges computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import NAMESPACES
from ..engine import RowSparse, Tensor

Shape = tuple[int, ...]
Formula = Callable[[Sequence[Shape], Sequence[Shape], dict[str, Any]], float]


def _matmul(ins: Sequence[Shape], outs: Sequence[Shape], params: dict[str, Any]) -> float:
    return 2.0 * math.prod(outs[0]) * ins[0][-1]


def _contract(ins: Sequence[Shape], outs: Sequence[Shape], params: dict[str, Any]) -> float:
    """Every index runs once: the product of all lengths."""
    lengths = dict(zip(params["left"], ins[0], strict=True))
    lengths.update(zip(params["right"], ins[1], strict=True))
    return 2.0 * math.prod(lengths.values())


def _recurrent(gates: int, directions: int = 1) -> Formula:
    """The weights are multiplied with each step of each sequence; ten operations per gate unit."""

    def formula(ins: Sequence[Shape], outs: Sequence[Shape], params: dict[str, Any]) -> float:
        T, B, _ = ins[0]
        lengths = params.get("lengths")
        steps = T * B if lengths is None else int(np.sum(lengths))
        matrices = sum(math.prod(shape) for shape in ins[1:] if len(shape) == 2)
        weights = matrices - sum(map(math.prod, outs[1:]))  # first states have the shapes of last
        return steps * (2.0 * weights + 10.0 * gates * directions * outs[-1][-1])

    return formula


def _attention(ins: Sequence[Shape], outs: Sequence[Shape], params: dict[str, Any]) -> float:
    (*lead, T, D), (*_, S, _), (*_, V) = ins[0], ins[1], ins[2]
    return math.prod(lead) * T * S * (2.0 * D + 2.0 * V + 5.0)


def _additive(ins: Sequence[Shape], outs: Sequence[Shape], params: dict[str, Any]) -> float:
    """tanh(q + k) · v for each key, then the mean of the values."""
    keys, values = math.prod(ins[1]), math.prod(ins[2])
    return 4.0 * keys + 2.0 * values


def _per_element(factor: float) -> Formula:
    return lambda ins, outs, params: factor * math.prod(ins[0])


def _cubic(factor: float) -> Formula:
    return lambda ins, outs, params: (
        factor * math.prod(ins[0][:-2]) * ins[0][-2] * ins[0][-1] * min(ins[0][-2:])
    )


FORMULAS: dict[str, Formula] = {
    "matmul": _matmul,
    **dict.fromkeys(("linear", "dense"), _matmul),
    "contract": _contract,
    "rnn": _recurrent(1),
    "gru": _recurrent(3),
    "lstm": _recurrent(4),
    "birnn": _recurrent(1, directions=2),
    "bigru": _recurrent(3, directions=2),
    "bilstm": _recurrent(4, directions=2),
    "scaled_dot_product_attention": _attention,
    "additive_attention": _additive,
    **dict.fromkeys(("softmax", "log_softmax", "logsumexp", "cross_entropy"), _per_element(5.0)),
    **dict.fromkeys(("layer_norm", "batch_norm"), _per_element(8.0)),
    **dict.fromkeys(("sum", "mean", "max", "min", "prod", "norm", "sum_to"), _per_element(1.0)),
    "cholesky": _cubic(1 / 3),
    "solve": _cubic(2 / 3),
    "inv": _cubic(2.0),
    "qr": _cubic(4 / 3),
    "eigh": _cubic(9.0),
    "svd": _cubic(12.0),
}

PRODUCTS = {"matmul", "linear", "dense", "contract"}
"""Their backward pass is a product like the forward one for each argument that gets a gradient."""

MOVES = {
    *("alias", "astype", "concat", "copy", "embedding", "getitem", "pad", "place", "put", "repeat"),
    *("roll", "setitem", "stack", "take", "take_along_axis", "tile", "to_device", "tril", "triu"),
    *("unfold", "windows", "one_hot"),
}


def flops(op: Any, ins: Sequence[Shape], outs: Sequence[Shape], params: dict[str, Any]) -> float:
    """Floating-point operations of a forward pass; of elements, where no formula says more."""
    if op.view or op.name in MOVES or not outs:
        return 0.0
    formula = FORMULAS.get(op.name)
    if formula is not None:
        try:
            return formula(ins, outs, params)
        except (IndexError, ValueError, KeyError):  # shapes that the formula does not know
            pass
    return float(sum(math.prod(shape) for shape in outs))


def backward_flops(op: Any, forward: float, wanted: int) -> float:
    """Of the backward pass of a line, `wanted` being the arguments that get a gradient."""
    count = (wanted & 0b11 if op.name in PRODUCTS else wanted).bit_count()
    return forward * (count if op.name in PRODUCTS else min(count, 2))


def line_flops(function: Any, arrays: Sequence[Any]) -> float:
    """Operations of a call of NumPy: products by their shapes, else one per element of the result.

    `arrays`: those that it reads and writes, the result last.
    """
    if function in (np.matmul, np.dot) and len(arrays) == 3:
        return 2.0 * arrays[2].size * arrays[0].shape[-1]
    return float(arrays[-1].size) if isinstance(function, np.ufunc) and arrays else 0.0


def arrays_in(value: Any) -> list[Any]:
    """The arrays in nested tuples and lists, those of Tensors and RowSparse too."""
    if isinstance(value, tuple | list):
        return [array for item in value for array in arrays_in(item)]
    if isinstance(value, RowSparse):
        return [value.values]
    if isinstance(value, Tensor):
        return [value.data]
    return [value] if type(value) in NAMESPACES else []


def described(arrays: Sequence[Any]) -> str:
    """Shapes and dtypes as text: `f4[32,64] f4[64]`."""
    return " ".join(
        f"{a.dtype.kind}{a.dtype.itemsize}[{','.join(map(str, a.shape))}]" for a in arrays
    )
