"""The layers whose results are kept in golden.safetensors, and how to run one in either library.

Parameters and inputs are drawn with NumPy from the case's name, so the file holds results only.
"""

import zlib

import numpy as np

T, B, D, H = 5, 3, 4, 6
LENGTHS = [5, 2, 3]

# name: (layer, arguments, options, inputs)
CASES = {
    "linear": ("Linear", (D, H), {}, ["x"]),
    "layer_norm": ("LayerNorm", (D,), {}, ["x"]),
    "embedding": ("Embedding", (7, D), {"padding_idx": 2}, ["ids"]),
    "rnn_tanh": ("RNN", (D, H), {"num_layers": 2}, ["x"]),
    "rnn_relu": ("RNN", (D, H), {"nonlinearity": "relu"}, ["x"]),
    "lstm": ("LSTM", (D, H), {"num_layers": 2, "bidirectional": True}, ["x"]),
    "lstm_projected": ("LSTM", (D, H), {"proj_size": 3}, ["x"]),
    "gru": ("GRU", (D, H), {"num_layers": 2, "bidirectional": True}, ["x"]),
    "lstm_lengths": ("LSTM", (D, H), {"bidirectional": True}, ["x"]),
    "gru_lengths": ("GRU", (D, H), {"bidirectional": True}, ["x"]),
    "multihead": ("MultiheadAttention", (D, 2), {}, ["x", "x", "x"]),
}


def generator(*names):
    return np.random.default_rng(zlib.crc32(".".join(names).encode()))


def parameter(case, name, shape):
    """A parameter's value."""
    return generator(case, name).normal(0, 0.5, shape)


def inputs(case):
    """The case's inputs, as arrays."""
    rng = generator(case, "inputs")
    kinds = CASES[case][3]
    return [rng.integers(0, 7, (T, B)) if k == "ids" else rng.normal(size=(T, B, D)) for k in kinds]


def weigh(case, i, shape):
    """The cotangent of output i."""
    return generator(case, "output", str(i)).normal(size=shape)


def flat(out):
    """The outputs of a layer, without nesting."""
    return [o for part in out for o in flat(part)] if isinstance(out, tuple) else [out]
