"""One call of every function of the standard; see `source`."""

from . import creation, elementwise, manipulation, statistics  # they fill CASES
from .source import CASES, Source

__all__ = ["CASES", "Source", "creation", "elementwise", "manipulation", "statistics"]
