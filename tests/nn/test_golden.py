"""Layers against results of PyTorch kept in a file: checked where PyTorch is absent too."""

from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, nn
from tests.nn.golden_cases import CASES, LENGTHS, flat, inputs, parameter, weigh

GOLDEN = io.load_safetensors(Path(__file__).parent / "golden.safetensors")


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients(case):
    kind, args, options, _ = CASES[case]
    layer = getattr(nn, kind)(*args, dtype="float64", **options)
    for name, p in layer.named_parameters():
        p.assign_(parameter(case, name, p.shape))
    xs = [mg.tensor(x) for x in inputs(case)]
    xs = [x.requires_grad_() if x.dtype.kind == "f" else x for x in xs]
    outs = flat(layer(*xs, **({"lengths": LENGTHS} if case.endswith("_lengths") else {})))
    sum((o * weigh(case, i, o.shape)).sum() for i, o in enumerate(outs)).backward()
    found = {f"output.{i}": o.detach() for i, o in enumerate(outs)}
    found |= {f"input.{i}": x.grad for i, x in enumerate(xs) if x.grad is not None}
    found |= {f"parameter.{name}": p.grad for name, p in layer.named_parameters()}
    golden = {k.split("/")[1]: v for k, v in GOLDEN.items() if k.startswith(f"{case}/")}
    assert set(found) == set(golden)
    for name, value in golden.items():
        np.testing.assert_allclose(found[name].numpy(), value, rtol=1e-9, atol=1e-11, err_msg=name)
