"""Recurrent layers over whole sequences: one line on the tape per layer and direction."""

from ._gru import gru
from ._lstm import lstm
from ._rnn import rnn

__all__ = ["gru", "lstm", "rnn"]
