"""Write golden.safetensors with PyTorch: `python -m tests.nn.make_golden`."""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from tests.nn.golden_cases import CASES, LENGTHS, T, flat, inputs, parameter, weigh


def run(case):
    """Outputs, and gradients of inputs and parameters, by name."""
    kind, args, options, _ = CASES[case]
    layer = getattr(torch.nn, kind)(*args, **options).double()
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.copy_(torch.tensor(parameter(case, name, tuple(p.shape))))
    xs = [torch.tensor(x) for x in inputs(case)]
    xs = [x.requires_grad_() if x.is_floating_point() else x for x in xs]
    if case.endswith("_lengths"):
        pack = torch.nn.utils.rnn.pack_padded_sequence
        packed, state = layer(pack(xs[0], LENGTHS, enforce_sorted=False))
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, total_length=T)
        outs = flat((y, state))
    else:
        outs = flat(layer(*xs))
    loss = sum((o * torch.tensor(weigh(case, i, tuple(o.shape)))).sum() for i, o in enumerate(outs))
    loss.backward()
    found = {f"output.{i}": o.detach().numpy() for i, o in enumerate(outs)}
    found |= {f"input.{i}": x.grad.numpy() for i, x in enumerate(xs) if x.grad is not None}
    found |= {f"parameter.{name}": p.grad.numpy() for name, p in layer.named_parameters()}
    return {f"{case}/{name}": np.ascontiguousarray(value) for name, value in found.items()}


if __name__ == "__main__":
    golden = {name: value for case in CASES for name, value in run(case).items()}
    save_file(
        golden, Path(__file__).parent / "golden.safetensors", {"made with": torch.__version__}
    )
