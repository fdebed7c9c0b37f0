"""Writes golden.json: PyTorch's parameters after six steps of each rule, for machines without it.

python -m tests.optim.make_golden
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def main() -> None:
    import torch

    from tests.optim.rules import IDS, RULES, Theirs, fresh, give

    golden = {}
    for key, (name, options) in zip(IDS, RULES, strict=True):
        params = fresh()
        theirs = Theirs(name, params, {"lr": 1e-3, **options} if name == "SGD" else options, torch)
        for step in range(6):
            give(params, step)
            theirs.step(params)
        golden[key] = np.concatenate([v.reshape(-1) for v in theirs.values()]).tolist()
    text = json.dumps(golden, indent=0)
    Path(__file__).with_name("golden.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
