"""Recurrent layers over whole sequences: one line on the tape per layer and direction.

Where that is quicker, both directions of a layer are one line; see `_both`.
"""

from ._both import BOTH, worth
from ._gru import gru
from ._lstm import lstm
from ._padded import padded, reverse_each
from ._rnn import rnn
from ._wide import in_float32

__all__ = ["BOTH", "gru", "in_float32", "lstm", "padded", "reverse_each", "rnn", "worth"]
