"""One runnable script per idea: `python -m examples.char_lm --help`."""
