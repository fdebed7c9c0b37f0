"""Where the time of a computation goes: per op, forward and backward, beside what is possible."""

from .events import Event
from .machine import Roofline, roofline
from .measure import Profile, profile

__all__ = ["Event", "Profile", "Roofline", "profile", "roofline"]
