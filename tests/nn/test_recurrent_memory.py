"""What recurrent layers leave behind."""

from __future__ import annotations

import gc

import pytest

import minigrad as mg
from minigrad import nn


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("lengths", [None, [5, 3, 1]])
def test_nothing_is_left_to_the_garbage_collector(layer, lengths):
    model, x = layer(4, 6, bidirectional=True), mg.randn(5, 3, 4)

    def step():
        y, _ = model(x, lengths=lengths)
        (y * y).sum().backward()

    step()
    gc.collect()
    gc.disable()
    try:
        step()
        assert gc.collect() == 0
    finally:
        gc.enable()
