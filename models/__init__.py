"""Complete architectures built on `minigrad.nn`, one file each."""
