"""What minigrad sets out to reach, as data: ratios are to PyTorch eager at its best."""

from __future__ import annotations

COLUMNS = {
    "eager": ("eager", "eager-2", "eager-2p"),
    "compiled": ("compiled", "compiled-2", "compiled-2p"),
    "fast": ("fast", "fast-2", "fast-2p"),
}
"""A column of the table, and the implementations of which the best one counts."""

RATIOS = {
    "W1": {"eager": 1.15, "compiled": 0.90, "fast": 0.73},
    "W2": {"eager": 1.25, "compiled": 1.10, "fast": 1.00},
    "W3": {"eager": 0.40, "compiled": 0.30, "fast": 0.30},
    "W4": {"eager": 0.80, "compiled": 0.53, "fast": 0.50},
    "W5": {"eager": 1.00, "compiled": 0.82, "fast": 0.67},
    "W6": {"eager": 0.25, "compiled": 0.10},
    "W7": {"eager": 0.85, "compiled": 0.75, "fast": 0.70},
    "W8": {"eager": 0.50, "compiled": 0.25},
}

MICROSECONDS = {  # per small op, the dearest of them: forward, forward + backward
    "eager": {"forward": 2.0, "both": 5.0},
    "compiled": {"forward": 0.3, "both": 1.0},
}
IMPORT_MS = 100.0  # NumPy included
MEMORY = 0.5  # of PyTorch's, on each training step
SAMPLER = 3.0  # compiled against eager
SLOPES = {"hidden": 2.0}  # growth is at most linear, but for the products of hidden states
SLACK = 0.1  # of a fitted slope
