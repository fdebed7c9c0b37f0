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


def faults(module):
    free = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    code = STEPS.format(module=module)
    return int(subprocess.check_output([sys.executable, "-c", code], env=free))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="thresholds are those of glibc")
def test_what_a_step_frees_is_there_for_the_next():
    alone = faults("numpy")
    if alone < 100:
        pytest.skip("this allocator keeps freed memory by itself")
    assert faults("minigrad") < alone / 10
