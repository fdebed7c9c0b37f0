"""Layers of a few lines, one row each: PyTorch's outputs, gradients and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, IndexRangeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck, strict

parity = pytest.importorskip("tests.nn.parity")
torch = parity.torch
array = parity.array

RNG = np.random.default_rng(0)
SIGNS = np.sign(array(4, 5))
P = RNG.uniform(0.1, 0.9, (4, 5))


@dataclass
class Row:
    name: str
    options: dict[str, Any]
    inputs: tuple[Any, ...]
    theirs: dict[str, Any] = field(default_factory=dict)  # options by PyTorch's names
    constant: tuple[int, ...] = ()
    tolerance: float = parity.TOLERANCE

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.options.items())})"

    def twins(self) -> tuple[Any, Any]:
        options = {k: mg.tensor(v) if hasattr(v, "dtype") else v for k, v in self.options.items()}
        theirs = {_TORCH.get(k, k): v for k, v in self.options.items()} | self.theirs
        theirs = {k: torch.tensor(v) if hasattr(v, "dtype") else v for k, v in theirs.items()}
        mine, other = getattr(nn, self.name)(**options), getattr(torch.nn, self.name)(**theirs)
        if list(other.parameters()):
            return parity.twins(mine, other)
        return mine.to("float64"), other.double()


_TORCH = {
    "axis": "dim", "start_axis": "start_dim", "end_axis": "end_dim", "keepdims": "keepdim",
}  # fmt: skip


def rows() -> list[Row]:
    x, images = array(4, 6) * 2, array(2, 3, 5, 6)
    waves = array(2, 3, 8)
    found = [Row(name, {}, (x,)) for name in (
        "ReLU6", "Hardswish", "SELU", "Mish", "LogSigmoid", "Softsign", "Tanhshrink",
        "CELU", "Softshrink", "Hardshrink", "Hardtanh", "PReLU", "GLU", "ReLU", "SiLU", "ELU",
    )]  # fmt: skip
    found += [
        Row("Hardtanh", {"min_val": -0.5, "max_val": 2.0, "inplace": False}, (x,)),
        Row("Hardsigmoid", {}, (x,), tolerance=1e-7),  # PyTorch keeps 1/6 in float32
        Row("CELU", {"alpha": 0.3}, (x,), tolerance=1e-7),  # PyTorch keeps 1/alpha in float32
        Row("Softshrink", {"lambd": 1.2}, (x,)),
        Row("Hardshrink", {"lambd": 1.2}, (x,)),
        Row("Threshold", {"threshold": 0.1, "value": -2.0}, (x,)),
        Row("PReLU", {"num_parameters": 3}, (images,)),
        Row("PReLU", {"num_parameters": 6, "init": 0.1}, (x,)),
        Row("GLU", {"axis": 0}, (x,)),
        Row("Softmin", {"axis": 1}, (x,)),
        Row("Softmax", {"axis": 0}, (x,)),
        Row("Flatten", {}, (images,)),
        Row("Flatten", {"start_axis": 0, "end_axis": 2}, (images,)),
        Row("Flatten", {"start_axis": -2}, (images,)),
        Row("Unflatten", {"axis": 1, "unflattened_size": (2, -1)}, (x,)),
        Row("Unflatten", {"axis": -1, "unflattened_size": (1, 3, 2)}, (x,)),
        Row("CosineSimilarity", {}, (x, array(4, 6, seed=1))),
        Row("CosineSimilarity", {"axis": 0, "eps": 0.1}, (x, array(4, 6, seed=1))),
        Row("PairwiseDistance", {}, (x, array(4, 6, seed=1))),
        Row("PairwiseDistance", {"p": 3.0, "keepdims": True}, (x, array(4, 6, seed=1))),
        Row(
            "Bilinear",
            {"in1_features": 6, "in2_features": 2, "out_features": 3},
            (x, array(4, 2)),
        ),
        Row(
            "Bilinear",
            {"in1_features": 3, "in2_features": 2, "out_features": 4, "bias": False},
            (array(2, 5, 3), array(2, 5, 2)),
        ),
        Row("AdaptiveAvgPool1d", {"output_size": 3}, (waves,)),
        Row("AdaptiveAvgPool2d", {"output_size": (2, 4)}, (images,)),
        Row("AdaptiveAvgPool2d", {"output_size": (None, 4)}, (images[0],)),
        Row("AdaptiveAvgPool2d", {"output_size": 3}, (images,)),
        Row("AdaptiveMaxPool1d", {"output_size": 3}, (waves,)),
        Row("AdaptiveMaxPool1d", {"output_size": 5}, (waves[0],)),
        Row("AdaptiveMaxPool2d", {"output_size": (2, 4)}, (images,)),
        Row("AdaptiveMaxPool2d", {"output_size": (3, None)}, (images,)),
        Row("LPPool1d", {"norm_type": 2, "kernel_size": 3}, (np.abs(waves) + 0.1,)),
        Row(
            "LPPool1d",
            {"norm_type": 3, "kernel_size": 3, "stride": 2, "ceil_mode": True},
            (np.abs(waves) + 0.1,),
        ),
        Row("LPPool2d", {"norm_type": 2, "kernel_size": (2, 3)}, (np.abs(images) + 0.1,)),
        Row("Unfold", {"kernel_size": (2, 3), "padding": 1, "stride": (2, 1)}, (images,)),
        Row("Unfold", {"kernel_size": 2, "dilation": 2}, (images,)),
        Row("Fold", {"output_size": (5, 6), "kernel_size": 2}, (array(2, 12, 20),)),
        Row(
            "Fold",
            {"output_size": (4, 5), "kernel_size": (2, 3), "padding": 1, "stride": (2, 1)},
            (array(2, 12, 15),),
        ),
    ]
    for options in ({}, {"bias": False}, {"affine": False}):
        found += [
            Row("BatchNorm1d", {"num_features": 3, **options}, (waves,)),
            Row("GroupNorm", {"num_groups": 3, "num_channels": 3, **options}, (waves,)),
        ]
    found += [
        Row("InstanceNorm1d", {"num_features": 3}, (waves,)),
        Row("InstanceNorm1d", {"num_features": 3, "affine": True, "eps": 0.1}, (waves[0],)),
        Row("InstanceNorm2d", {"num_features": 3, "affine": True, "bias": False}, (images,)),
    ]
    for kind in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"):
        found += [
            Row(f"{kind}1d", {"padding": 2}, (waves,)),
            Row(f"{kind}1d", {"padding": (3, 1)}, (waves,)),
            Row(f"{kind}2d", {"padding": (1, 2, 0, 3)}, (images,)),
        ]
    found += [
        Row("ZeroPad1d", {"padding": (-1, 2)}, (waves,)),
        Row("ConstantPad1d", {"padding": 2, "value": 3.5}, (waves,)),
        Row("ConstantPad2d", {"padding": (1, 0, 2, 1), "value": -1.0}, (images,)),
    ]
    for options in (
        {},
        {"stride": 2, "padding": 1},
        {"stride": 3, "output_padding": 2, "groups": 2, "bias": False},
        {"dilation": 2, "output_padding": 1},
    ):
        channels = {"in_channels": 4, "out_channels": 6, "kernel_size": 3}
        found.append(Row("ConvTranspose1d", {**channels, **options}, (array(2, 4, 5),)))
        found.append(Row("ConvTranspose2d", {**channels, **options}, (array(2, 4, 3, 5),)))
    ids = np.array([[2, 0, -1, 1, 0], [4, -1, 3, 3, 3], [-1, 0, 0, 0, 0], [0, 1, 2, 3, 4]])
    logits, weight = array(4, 5), RNG.uniform(0.5, 2, 5)
    for reduction in ("mean", "sum", "none"):
        losses = [
            ("MultiLabelMarginLoss", {}, (logits, ids), ()),
            ("MultiLabelSoftMarginLoss", {}, (logits, (SIGNS + 1) / 2), (1,)),
            ("MultiLabelSoftMarginLoss", {"weight": weight}, (logits, (SIGNS + 1) / 2), (1,)),
            ("SmoothL1Loss", {}, (logits, array(4, 5, seed=1)), ()),
            ("SmoothL1Loss", {"beta": 0.3}, (logits, array(4, 5, seed=1)), ()),
            ("BCELoss", {}, (P, P.T.reshape(4, 5)), (1,)),
            ("BCELoss", {"weight": weight}, (P, P.T.reshape(4, 5)), (1,)),
            ("BCEWithLogitsLoss", {"weight": weight}, (logits, P), (1,)),
            ("BCEWithLogitsLoss", {"pos_weight": weight, "weight": weight}, (logits, P), (1,)),
            ("TripletMarginWithDistanceLoss", {"swap": True}, _triplet(), ()),
        ]
        found += [
            Row(name, {**options, "reduction": reduction}, inputs, constant=constant)
            for name, options, inputs, constant in losses
        ]
    found.append(Row("MultiLabelMarginLoss", {}, (logits[0], ids[0])))
    return found


def _triplet() -> tuple[Any, ...]:
    return tuple(array(4, 3, seed=s) for s in range(3))


ROWS = rows()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_same_as_torch(row):
    mine, theirs = row.twins()
    parity.assert_parity(*_held(row, mine, theirs), *_free(row), tolerance=row.tolerance)


def _free(row: Row) -> list[Any]:
    return [x for i, x in enumerate(row.inputs) if i not in row.constant]


def _held(row: Row, *layers: Any) -> list[Callable[..., Any]]:
    """The layers as functions of what is differentiated."""
    if not row.constant:
        return list(layers)
    mine, theirs = layers

    def fill(free, make):
        free = iter(free)
        return [
            make(x) if i in row.constant else next(free) for i, x in enumerate(row.inputs)
        ]  # fmt: skip

    return [
        lambda *free: mine(*fill(free, mg.tensor)),
        lambda *free: theirs(*fill(free, torch.tensor)),
    ]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_derivatives(row):
    mine, theirs = row.twins()
    f, _ = _held(row, mine, theirs)
    inputs = [x if x.dtype.kind == "f" else mg.tensor(x) for x in _free(row)]
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_on_the_strict_device(row):
    mine, _ = row.twins()
    found = []
    for device in ("cpu", "strict"):
        mine.to(device)
        xs = [mg.asarray(x, device=device) for x in row.inputs]
        for i, x in enumerate(xs):
            if x.dtype.kind == "f" and i not in row.constant:
                x.requires_grad_()
        with strict.no_sync():
            y = mine(*xs)
            y.sum().backward()
        grads = [x.grad.numpy() for x in xs if x.grad is not None]
        found.append([y.detach().numpy(), *grads])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("row", {str(r): r for r in ROWS}.values(), ids=str)
def test_float32_stays(row):
    mine, _ = row.twins()
    mine.to("float32")
    xs = [mg.tensor(x.astype("float32") if x.dtype.kind == "f" else x) for x in row.inputs]
    assert mine(*xs).dtype == mg.float32
    assert type(mine).__name__ in repr(mine)


# -- indices, and errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [("AdaptiveMaxPool1d", 3, (2, 3, 8)), ("AdaptiveMaxPool2d", (2, 4), (3, 5, 6))],
)
def test_indices_of_adaptive_max_pooling(name, size, shape):
    x = array(*shape)
    y, found = getattr(nn, name)(size, return_indices=True)(mg.tensor(x))
    expected = getattr(torch.nn, name)(size, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(found.numpy(), expected[1].numpy())
    np.testing.assert_array_equal(y.numpy(), expected[0].numpy())


@pytest.mark.parametrize(
    ("error", "make"),
    [
        (ConfigError, lambda: nn.Hardtanh(1.0, 1.0)),
        (ConfigError, lambda: nn.CELU(0)),
        (ConfigError, lambda: nn.Softshrink(-1)),
        (ShapeError, lambda: nn.InstanceNorm1d(3)(mg.ones((2, 3, 1)))),
        (ShapeError, lambda: nn.InstanceNorm1d(3)(mg.ones((2, 4, 5)))),
        (ShapeError, lambda: nn.GLU()(mg.ones((2, 3)))),
        (ShapeError, lambda: nn.GLU(2)(mg.ones((2, 3)))),
        (ShapeError, lambda: nn.PReLU(3)(mg.ones((2, 4)))),
        (ShapeError, lambda: nn.Flatten(2, 1)(mg.ones((2, 3, 4)))),
        (ShapeError, lambda: nn.Flatten(3)(mg.ones((2, 3)))),
        (ShapeError, lambda: nn.Unflatten(1, (2, 2))(mg.ones((2, 3)))),
        (ShapeError, lambda: nn.Unflatten(1, (-1, -1))(mg.ones((2, 3)))),
        (ConfigError, lambda: nn.ZeroPad2d((1, 2))),
        (ShapeError, lambda: nn.ReflectionPad1d(3)(mg.ones((1, 3)))),
        (ShapeError, lambda: nn.CircularPad1d(4)(mg.ones((1, 3)))),
        (ShapeError, lambda: nn.ZeroPad2d(1)(mg.ones(3))),
        (ShapeError, lambda: nn.Bilinear(2, 3, 4)(mg.ones((5, 2)), mg.ones((4, 3)))),
        (ShapeError, lambda: nn.Bilinear(2, 3, 4)(mg.ones((5, 3)), mg.ones((5, 3)))),
        (ConfigError, lambda: nn.ConvTranspose1d(3, 4, 2, groups=2)),
        (ConfigError, lambda: nn.ConvTranspose1d(2, 4, 2, padding_mode="reflect")),
        (ConfigError, lambda: nn.ConvTranspose1d(2, 4, 2, output_padding=1)(mg.ones((2, 5)))),
        (ShapeError, lambda: nn.ConvTranspose1d(2, 4, 2)(mg.ones((3, 5)))),
        (ShapeError, lambda: nn.ConvTranspose1d(2, 4, 2, padding=3)(mg.ones((2, 1)))),
        (ConfigError, lambda: nn.AdaptiveMaxPool1d(0)(mg.ones((2, 3)))),
        (ShapeError, lambda: nn.AdaptiveMaxPool1d(2)(mg.ones((2, 0)))),
        (ShapeError, lambda: nn.AdaptiveAvgPool2d(2)(mg.ones((2, 3)))),
        (ShapeError, lambda: nn.Fold((4, 4), 2)(mg.ones((1, 4, 8)))),
        (ShapeError, lambda: nn.Unfold(7)(mg.ones((1, 1, 4, 4)))),
        (IndexRangeError, lambda: nn.MultiLabelMarginLoss()(mg.ones((1, 2)), mg.tensor([[2, 0]]))),
        (ShapeError, lambda: nn.MultiLabelMarginLoss()(mg.ones((1, 2)), mg.tensor([[1]]))),
        (ConfigError, lambda: nn.TripletMarginWithDistanceLoss(margin=0)(*[mg.ones((1, 2))] * 3)),
    ],
)  # fmt: skip
def test_errors(error, make):
    with pytest.raises(error, match=r"\w+: .*"):
        make()
