"""A text written character by character: the model's step, then a draw by the Gumbel trick.

Everybody draws with the same noise, so everybody must write the same text.
"""

from __future__ import annotations

from types import SimpleNamespace as Size
from typing import Any

import numpy as np

from . import linear, recurrent
from .small_ops import Part


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """Those of the language model."""
    rnn = recurrent("rnn", 4, s.E, s.H, "_l0")
    return dict([("embedding.weight", (s.V, s.E)), *rnn, *linear("head", s.H, s.V)])


def batch(s: Size, rng: Any) -> tuple[Any, ...]:
    """No data."""
    return ()


def write(s: Size, step: Any) -> Any:
    """The text: `step(id)` gives the logits of the next character."""
    noise = np.random.default_rng(3).gumbel(size=(s.length, s.V)).astype(np.float32)
    ids = np.zeros(s.length + 1, np.int64)
    for t in range(s.length):
        ids[t + 1] = (step(ids[t]) + noise[t]).argmax()
    return ids


def weights(s: Size) -> dict[str, Any]:
    """The same for everybody."""
    from . import WORKLOADS

    return WORKLOADS["sampler"].resized(**vars(s)).weights()


def minigrad_parts(s: Size, options: dict[str, Any]) -> dict[str, Part]:
    """In minigrad: the model itself, or its step compiled."""
    import minigrad as mg
    from models.char_lm import CharLM

    model = CharLM(s.V, embedding_size=s.E, hidden_size=s.H, num_layers=1).eval()
    model.load_state_dict(weights(s))

    def step(ids: Any, h: Any, c: Any) -> Any:
        with mg.no_grad():
            logits, (h, c) = model(ids, (h, c))
        return logits, h, c

    run = mg.compile(step) if options.get("compiled") else step

    def sample() -> Any:
        h = c = mg.zeros((1, 1, s.H))

        def one(previous: Any) -> Any:
            nonlocal h, c
            logits, h, c = run(mg.asarray([[previous]]), h, c)
            return logits.numpy()[0, 0]

        return write(s, one)

    return {"sample": (sample, s.length, lambda ids: {"ids": ids})}


def torch_parts(s: Size, options: dict[str, Any]) -> dict[str, Part]:
    """In PyTorch."""
    import torch

    from .language_model import in_torch

    model, _ = in_torch(Size(**vars(s), L=1))
    model.load_state_dict({name: torch.from_numpy(w) for name, w in weights(s).items()})

    def sample() -> Any:
        state = None

        def one(previous: Any) -> Any:
            nonlocal state
            x = model.embedding(torch.tensor([[previous]]))
            hidden, state = model.rnn(x, state)
            return model.head(hidden)[0, 0].numpy()

        with torch.inference_mode():
            return write(s, one)

    return {"sample": (sample, s.length, lambda ids: {"ids": ids})}
