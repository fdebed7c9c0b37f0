"""Threads of our own: few, long-lived, for independent halves of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="minigrad")


def run(branches: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of the functions: the first runs here, the others on threads of the pool."""
    futures = [_pool().submit(copy_context().run, branch) for branch in branches[1:]]
    first = branches[0]()
    return [first, *(future.result() for future in futures)]
