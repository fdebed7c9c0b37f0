"""Using a model, as opposed to training it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import minigrad as mg
from minigrad import nn


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """For a block: dropout off, nothing recorded. Afterwards the model is in the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        with mg.no_grad():
            yield
    finally:
        model.train(was_training)
