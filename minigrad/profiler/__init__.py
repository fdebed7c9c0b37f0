"""Where the time of a computation goes: per op, forward and backward, beside what is possible."""

from .events import Event
from .profile import Profile, profile
from .roofline import Roofline, roofline

__all__ = ["Event", "Profile", "Roofline", "profile", "roofline"]
