import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import resource
import numpy as np
import {module}

def step():
    arrays = [np.ones(1 << 19) for _ in range(5)]  # 4 MB each, all there at once

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


TRAINING = """
import resource
import numpy as np
import minigrad as mg
from minigrad import nn, optim

mg.set_num_threads(1)
table, lstm, head = nn.Embedding(65, 64), nn.LSTM(64, 128), nn.Linear(128, 65)
rule = optim.Adam([*table.parameters(), *lstm.parameters(), *head.parameters()])
ids = mg.asarray(np.random.default_rng(0).integers(0, 65, (65, 32)))

def step():
    rule.zero_grad()
    y, _ = lstm(table(ids[:-1]))
    mg.cross_entropy(mg.reshape(head(y), (-1, 65)), mg.reshape(ids[1:], (-1,))).backward()
    rule.step()

for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="thresholds are those of glibc"
)


def faults(code):
    free = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    return int(subprocess.check_output([sys.executable, "-c", code], env=free))


@glibc
def test_what_a_step_frees_is_there_for_the_next():
    alone = faults(STEPS.format(module="numpy"))
    if alone < 100:
        pytest.skip("this allocator keeps freed memory by itself")
    assert faults(STEPS.format(module="minigrad")) < alone / 10


@glibc
def test_a_steady_training_step_asks_the_system_for_nothing():
    """It makes 18 MB of arrays, 4,600 pages: ten steps touch no more than a few new ones."""
    assert faults(TRAINING) < 20
