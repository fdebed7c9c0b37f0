"""What tests of minigrad, and of code built on it, need: gradient checks and the strict device."""

from __future__ import annotations

from minigrad.testing.gradcheck import GradcheckError, check_jvp, gradcheck, gradgradcheck

__all__ = ["GradcheckError", "check_jvp", "gradcheck", "gradgradcheck"]
