"""The fused ops against PyTorch's: forward and backward, one thread each, in one process.

    python -m benchmarks.fused_ops                               # all of them
    python -m benchmarks.fused_ops lstm softmax --rounds 60      # those whose name has one of these

A round runs a step of each library, one after the other, so that what else the machine does meets
both; times are the processor's, without those that others had it for. A step is forward and back,
with all gradients. Before a time counts, the gradients of both are compared. Printed: medians in
milliseconds, and the median and quartiles of the rounds' ratios (below 1: faster than PyTorch).
Needs PyTorch: pip install torch
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from time import process_time
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import nn

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
rng = np.random.default_rng(0)


class Case(NamedTuple):
    """What to compute of `inputs`, here and in PyTorch. Modules get the same parameters."""

    name: str
    inputs: list[Any]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]


def draw(*shape: int) -> Any:
    """Standard normal float32 numbers."""
    return rng.standard_normal(shape, np.float32)


def ids(high: int, *shape: int) -> Any:
    """Random ids below `high`."""
    return rng.integers(0, high, shape)


def cases(torch: Any) -> Iterator[Case]:
    """What is measured; the sizes are those of small sequence models."""
    yield from recurrent(torch)
    yield from tables(torch)
    yield from attention(torch)
    yield from rows(torch)
    yield from elements(torch)


class _Padded:
    """A recurrent layer of PyTorch over sequences of different lengths."""

    def __init__(self, torch: Any, layer: Any, lengths: list[int]) -> None:
        self.packing, self.layer = torch.nn.utils.rnn, layer
        self.lengths = torch.tensor(lengths)
        self.parameters, self.named_parameters = layer.parameters, layer.named_parameters

    def __call__(self, x: Any) -> Any:
        packed = self.packing.pack_padded_sequence(x, self.lengths)
        return self.packing.pad_packed_sequence(self.layer(packed)[0])[0]


class _Lengths(nn.Module):
    """The same of ours."""

    def __init__(self, layer: nn.Module, lengths: list[int]) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def forward(self, x: Any) -> Any:
        return self.layer(x, lengths=self.lengths)


def recurrent(torch: Any) -> Iterator[Case]:
    """Layers over x (T, B, I), with H units."""
    bi = {"bidirectional": True}
    for kind, (T, B, I, H), options, padded in (
        ("LSTM", (64, 32, 64, 128), {}, False),
        ("LSTM", (28, 128, 28, 128), {}, False),
        ("LSTM", (35, 20, 512, 512), {}, False),
        ("LSTM", (64, 1, 64, 128), {}, False),
        ("LSTM", (50, 32, 100, 100), bi, False),
        ("LSTM", (50, 32, 100, 100), bi, True),
        ("LSTM", (32, 32, 128, 256), {"proj_size": 128}, False),
        ("GRU", (64, 32, 64, 128), {}, False),
        ("GRU", (64, 1, 64, 128), {}, False),
        ("GRU", (50, 32, 100, 100), {}, True),
        ("RNN", (64, 32, 64, 128), {}, False),
        ("RNN", (64, 1, 64, 128), {}, False),
    ):
        name = f"{kind.lower()} {T},{B},{I},{H}" + "".join(f" {k}" for k in options)
        ours: Any = getattr(nn, kind)(I, H, **options)
        theirs: Any = getattr(torch.nn, kind)(I, H, **options)
        if padded:
            name += " lengths"
            lengths = [T, *sorted(rng.integers(T // 10, T + 1, B - 1).tolist(), reverse=True)]
            ours, theirs = _Lengths(ours, lengths), _Padded(torch, theirs, lengths)
        yield Case(name, [draw(T, B, I)], ours, theirs)


def tables(torch: Any) -> Iterator[Case]:
    """Embeddings, and cross entropy over classes."""
    F = torch.nn.functional
    for V, E, shape in ((65, 64, (64, 32)), (5000, 100, (50, 32)), (10000, 256, (35, 20))):
        words = ids(V, *shape)
        theirs = torch.from_numpy(words)
        yield Case(
            f"embedding {V},{E}",
            [draw(V, E)],
            lambda w, words=words: mg.embedding(w, words),
            lambda w, words=theirs: F.embedding(words, w),
        )
    for n, V in ((2048, 65), (640, 1000), (700, 10000), (256, 50000)):
        words = ids(V, n)
        theirs = torch.from_numpy(words)
        yield Case(
            f"cross_entropy {n},{V}",
            [draw(n, V)],
            lambda x, words=words: mg.cross_entropy(x, words),
            lambda x, words=theirs: F.cross_entropy(x, words),
        )


def attention(torch: Any) -> Iterator[Case]:
    """A decoder's steps, and a Transformer's."""
    F = torch.nn.functional

    def additive(q: Any, k: Any, m: Any, v: Any) -> Any:
        weights = torch.softmax(torch.tanh(k + q[:, None]) @ v, -1)
        return torch.bmm(weights[:, None], m)[:, 0]

    def ours(q: Any, k: Any, m: Any, v: Any, mask: Any = None) -> Any:
        return mg.additive_attention(q, k, m, v, mask)[0]

    inputs = [draw(32, 128), draw(32, 20, 128), draw(32, 20, 128), draw(128)]
    yield Case("additive_attention 32,20,128", inputs, ours, additive)
    for B, h, T, d, causal in (
        (16, 4, 64, 32, False),
        (8, 8, 128, 64, True),
        (32, 1, 20, 128, False),
    ):
        yield Case(
            f"attention {B},{h},{T},{d}" + " causal" * causal,
            [draw(B, h, T, d) for _ in range(3)],
            lambda q, k, v, c=causal: mg.scaled_dot_product_attention(q, k, v, is_causal=c)[0],
            lambda q, k, v, c=causal: F.scaled_dot_product_attention(q, k, v, is_causal=c),
        )
    for T, B in ((64, 16), (128, 8)):
        yield Case(
            f"multihead {T},{B},128",
            [draw(B, T, 128)],
            _SelfAttention(nn.MultiheadAttention(128, 4, batch_first=True)),
            _module(torch, torch.nn.MultiheadAttention(128, 4, batch_first=True)),
        )
        yield Case(
            f"encoder_layer {T},{B},128",
            [draw(B, T, 128)],
            nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True),
            torch.nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True),
        )


class _SelfAttention(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        return self.layer(x, x, x, need_weights=False)[0]


def _module(torch: Any, layer: Any) -> Any:
    class SelfAttention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            return self.layer(x, x, x, need_weights=False)[0]

    return SelfAttention()


def rows(torch: Any) -> Iterator[Case]:
    """Reductions along the last axis, and layers on it."""
    F = torch.nn.functional
    for n, D in ((1024, 128), (4096, 512)):
        shape = [draw(n, D)]
        affine = [*shape, draw(D), draw(D)]
        for name in ("softmax", "log_softmax"):
            one, other = getattr(mg, name), getattr(F, name)
            yield Case(f"{name} {n},{D}", shape, one, lambda x, f=other: f(x, -1))
        yield Case(
            f"layer_norm {n},{D}",
            affine,
            lambda x, w, b, D=D: mg.layer_norm(x, D, w, b),
            lambda x, w, b, D=D: F.layer_norm(x, (D,), w, b),
        )
        yield Case(
            f"rms_norm {n},{D}",
            affine[:2],
            lambda x, w, D=D: mg.rms_norm(x, D, w),
            lambda x, w, D=D: F.rms_norm(x, (D,), w),
        )
        yield Case(
            f"batch_norm {n},{D}",
            affine,
            lambda x, w, b: mg.batch_norm(x, None, None, w, b),
            lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        )
    for n, I, O in ((1024, 128, 512), (32, 128, 128), (2048, 128, 65)):
        inputs = [draw(n, I), draw(O, I), draw(O)]
        yield Case(f"linear {n},{I},{O}", inputs, mg.linear, F.linear)
        for name in ("tanh", "relu", "gelu"):
            theirs = getattr(torch, name, None) or getattr(F, name)
            yield Case(
                f"linear+{name} {n},{I},{O}",
                inputs,
                partial(mg.linear, activation=name),
                lambda x, w, b, theirs=theirs: theirs(F.linear(x, w, b)),
            )


def elements(torch: Any) -> Iterator[Case]:
    """Activations."""
    F = torch.nn.functional
    for n, D in ((32, 128), (1024, 512), (4096, 512)):
        for name in (
            "tanh", "sigmoid", "relu", "gelu", "silu", "softplus", "elu", "leaky_relu", "selu",
            "celu", "mish", "softshrink", "hardshrink", "hardswish", "logsigmoid",
        ):  # fmt: skip
            theirs = getattr(F, name) if hasattr(F, name) else getattr(torch, name)
            yield Case(f"{name} {n},{D}", [draw(n, D)], getattr(mg, name), theirs)


def _first(y: Any) -> Any:
    return y[0] if isinstance(y, tuple) else y


def steps(torch: Any, case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A forward and backward of each library, after a look whether their gradients agree."""
    ours = [mg.asarray(x.copy()).requires_grad_() for x in case.inputs]
    theirs = [torch.from_numpy(x.copy()).requires_grad_() for x in case.inputs]
    if isinstance(case.ours, nn.Module):
        pairs = zip(case.ours.parameters(), case.theirs.parameters(), strict=True)
        for p, q in pairs:
            p.assign_(q.detach().numpy())
            ours.append(p)
            theirs.append(q)
    cotangent = draw(*_first(case.ours(*ours[: len(case.inputs)])).shape)
    g, h = mg.asarray(cotangent), torch.from_numpy(np.asarray(cotangent))

    def step(leaves: Any = ours, f: Any = case.ours, g: Any = g) -> None:
        for x in leaves:
            x.grad = None
        _first(f(*leaves[: len(case.inputs)])).backward(g)

    def other() -> None:
        step(theirs, case.theirs, h)

    step()
    other()
    for x, y in zip(ours, theirs, strict=True):
        scale = max(1.0, float(y.grad.abs().max()))
        far = np.abs(x.grad.numpy() - y.grad.numpy()) > 1e-4 * scale
        if far.mean() > 0.01:  # a few may be: an input of relu at 0 may round to either side
            sys.exit(f"{case.name}: {far.mean():.0%} of a gradient is not PyTorch's")
    return step, other


def race(pair: tuple[Callable[[], Any], ...], rounds: int) -> Any:
    """Milliseconds (rounds, 2), in each round the one after the other."""
    times = np.empty((rounds + rounds // 5 + 2, 2))
    for row in times:
        for k, step in enumerate(pair):
            start = process_time()
            step()
            row[k] = process_time() - start
    return times[-rounds:] * 1e3


def run(names: list[str], rounds: int) -> None:
    """Print one line per case."""
    try:
        import torch
    except ImportError:
        sys.exit("this benchmark compares with PyTorch: pip install torch")
    torch.set_num_threads(1)
    print(f"numpy {np.__version__}, torch {torch.__version__}, 1 thread each, float32, ms per step")
    print(f"{'op':42} {'minigrad':>9} {'torch':>9}   ratio [quartiles]")
    for case in cases(torch):
        if names and not any(name in case.name for name in names):
            continue
        times = race(steps(torch, case), rounds)
        low, middle, high = np.percentile(times[:, 0] / times[:, 1], [25, 50, 75])
        ours, theirs = np.median(times, axis=0)
        print(f"{case.name:42} {ours:9.3f} {theirs:9.3f}   {middle:.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    what, _, details = (__doc__ or "").partition("\n\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=what, epilog=details, formatter_class=form)
    parser.add_argument("names", nargs="*", help="parts of names; by default everything")
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    if ONE_THREAD.items() <= os.environ.items():
        run(given.names, given.rounds)
    else:  # BLAS reads them when NumPy is loaded: start again
        command = [sys.executable, "-m", "benchmarks.fused_ops", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ONE_THREAD)
