"""What tests of minigrad, and of code built on it, need: gradient checks, the strict device."""
