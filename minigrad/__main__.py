"""`python -m minigrad`: the same as the command `minigrad`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
