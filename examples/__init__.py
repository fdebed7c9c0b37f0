"""One runnable script per idea: `python -m examples.char_lm --help`."""

import os

# The matrix products inside a recurrent step are too small to share between cores: a second BLAS
# thread gains a tenth on an idle machine, and on a busy one it waits for the first. Must be known
# before NumPy is loaded; a value of your own stands.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
