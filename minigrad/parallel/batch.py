"""One batch on several threads: each takes a piece, and the gradients add up to the batch's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from ..backend import NAMESPACES, device, device_of, get_num_threads
from ..backend.random import Streams, streams_apart
from ..engine import RowSparse, Tensor, before_replay, edge, enable_grad, fork, pull
from ..engine.gradients import accumulate, cotangent
from ..engine.hooks import run_hooks
from ..engine.modes import tick
from ..engine.sparse import plus
from ..engine.tree import flatten
from ..errors import ConfigError, GradError, ShapeError
from .pieces import Axes, batch_size, bounds, cut, join

LARGE = 1 << 18  # gradients with fewer numbers in all are added up by one thread

Weights = Any


def backward(
    loss_fn: Callable[..., Any],
    batch: Sequence[Any],
    *,
    axes: Axes,
    params: Iterable[Tensor],
    workers: int | None = None,
    weights: Weights = None,
    out_axes: Axes = None,
) -> Any:
    """`loss_fn(*batch)` and `backward()` of it, with the batch divided over threads.

    Each piece of the batch is a loss and a gradient of its own, computed side by side; their
    weighted sum is the loss and the gradient of the whole batch, to rounding:

        L = Σₖ wₖ Lₖ / Σₖ wₖ

    The gradient is added to the `.grad` of `params`, as `backward()` would. Returns the loss,
    without history.

    Args:
        loss_fn: gives the mean loss of the examples that it is called with, shape (); or a tuple of
            it and anything else, which comes back after the loss, put together along `out_axes`. It
            makes all that the loss depends on, but for `params`: a gradient goes to them alone.
        batch: its arguments: Tensors, arrays, lists with an entry per example (lengths, say), or
            tuples, lists and dicts of these (a recurrent state, say).
        axes: the batch axis of each argument, None for one that all pieces share. An axis given
            for a nest holds for all in it.
        params: the leaves to differentiate by. Those without requires_grad are left out.
        workers: into how many pieces, by default `mg.get_num_threads()`. On a GPU it is one.
        weights: the weight of each piece: by default the number of its examples. A sequence, an
            array or a Tensor (B,) has a number per example, such as the tokens that a mean over
            tokens counts; a function is called as `weights(*piece)`; "sum" says that the loss is a
            sum, so the pieces' losses are added.
        out_axes: the batch axes of what follows the loss; None gives lists with an entry per piece.

    Raises: ShapeError if batch axes differ in length, or if the loss is not a single number;
        ConfigError for axes or weights without a meaning.

    Random numbers, as in dropout, come from a stream for each piece, whose seeds are drawn from the
    process's stream: a seed and a number of workers repeat a run, another number of workers has
    other masks. It may be used in `mg.compile`: each replay draws new seeds.

    >>> import minigrad as mg
    >>> w = mg.tensor([2.0, 3.0], requires_grad=True)
    >>> x = mg.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> loss = mg.parallel.backward(lambda x: ((x @ w) ** 2).mean(), (x,), axes=(0,), params=[w])
    >>> loss, w.grad
    (tensor(12.666667), tensor([4.666667 , 5.3333335]))
    """
    targets = list({id(p): p for p in params if p.requires_grad}.values())
    if not targets:
        raise GradError("parallel.backward: none of the params requires a gradient")
    pieces = _pieces(tuple(batch), axes, _workers(targets[0], workers))
    shares = _shares(weights, pieces)
    since = tick()

    def work(piece: tuple[Any, ...], share: Any) -> tuple[Any, list[Any], tuple[Any, ...]]:
        with enable_grad():
            out = loss_fn(*piece)
            loss, *rest = out if isinstance(out, tuple) else (out,)
            _check(loss)
            if isinstance(share, Tensor):
                loss = loss * share.astype(loss.dtype)
            elif share != 1.0:
                loss = loss * share
        found: dict[Any, Any] = {}
        if loss.requires_grad:
            g = cotangent(loss, None, False, what="parallel.backward")
            found = pull([(edge(loss), g)], targets={edge(p) for p in targets}, since=since)
        return loss.detach(), [found.get(edge(p)) for p in targets], tuple(map(_detached, rest))

    args = [(piece, share) for (piece, *_), share in zip(pieces, shares, strict=True)]
    losses, grads, rests = zip(*_run(work, args), strict=True)
    for p, g in zip(targets, _sums(grads), strict=True):
        if g is not None:
            accumulate(p, run_hooks(p.hooks, g, False))
    loss = losses[0]
    for other in losses[1:]:
        loss = loss + other
    if not rests[0]:
        return loss
    return (loss, *_joined(rests, out_axes))


Piece = tuple[tuple[Any, ...], int, int]  # arguments, and which examples of the batch they are


def _workers(p: Tensor, workers: int | None) -> int:
    if workers is None:
        workers = get_num_threads()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ConfigError(f"parallel.backward: workers is an integer >= 1, got {workers!r}")
    return workers if device_of(p.data).kind in ("cpu", "strict") else 1


def _pieces(batch: tuple[Any, ...], axes: Axes, workers: int) -> list[Piece]:
    what = "parallel.backward"
    size = batch_size(what, batch, axes)
    if size == 0:
        raise ShapeError(f"{what}: the batch is empty")
    if workers == 1:
        return [(batch, 0, size)]
    return [
        (cut(what, batch, axes, start, stop), start, stop)
        for start, stop in bounds(size, min(workers, size))
    ]


def _shares(weights: Weights, pieces: list[Piece]) -> list[Any]:
    """Which part of the whole each piece is."""
    size = pieces[-1][2]
    if isinstance(weights, str):
        if weights != "sum":
            raise ConfigError(f"parallel.backward: weights={weights!r}; a name is 'sum' alone")
        return [1.0] * len(pieces)
    if len(pieces) == 1:
        return [1.0]
    if weights is None:
        return [(stop - start) / size for _, start, stop in pieces]
    if callable(weights):
        given = [weights(*piece) for piece, *_ in pieces]
    elif len(weights) != size:
        raise ShapeError(f"parallel.backward: {len(weights)} weights for a batch of {size}")
    else:
        given = [
            part.sum() if hasattr(part, "sum") else sum(part)
            for part in (weights[start:stop] for _, start, stop in pieces)
        ]
    # An array of a program, or of a device, has no value here: shares are computed there.
    given = [Tensor(w) if type(w) in NAMESPACES else w for w in given]
    total = sum(given[1:], given[0])
    if isinstance(total, Tensor):
        return [w / total for w in given]
    if not float(total) > 0:
        raise ConfigError(f"parallel.backward: the weights sum to {total}, expected more than 0")
    return [float(w) / float(total) for w in given]


def _check(loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.shape:
        given = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ShapeError(
            f"parallel.backward: loss_fn gave a loss of {given}, expected a Tensor of shape ()"
        )


def _run(work: Callable[..., Any], args: list[tuple[Any, ...]]) -> list[Any]:
    """`work` of each piece, side by side, each with random streams of its own."""
    if len(args) == 1:
        return [work(*args[0])]
    streams = [Streams() for _ in args]
    before_replay(partial(_reseed, streams))

    def branch(i: int) -> Any:
        with streams_apart(streams[i]):
            return work(*args[i])

    return fork(*[lambda i=i: branch(i) for i in range(len(args))])


def _joined(rests: Sequence[tuple[Any, ...]], axes: Axes) -> list[Any]:
    """What the pieces gave beside their losses, put together."""
    what, n = "parallel.backward", len(rests[0])
    each = tuple(axes) if isinstance(axes, list | tuple) else (axes,) * n
    if len(each) != n:
        raise ConfigError(f"{what}: out_axes {axes!r} for {n} values after the loss; one for each")
    columns = zip(*rests, strict=True)
    return [join(what, column, axis) for column, axis in zip(columns, each, strict=True)]


def _detached(value: Any) -> Any:
    """Tensors in nested tuples, lists and dicts, without history."""
    leaves, rebuild = flatten(value)
    return rebuild([leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves])


def _reseed(streams: list[Streams]) -> None:
    """Start each from a seed drawn from the process's stream."""
    seeds = device("cpu").rng.integers(0, 1 << 62, len(streams))
    for each, seed in zip(streams, seeds, strict=True):
        each.manual_seed(int(seed))


def _sums(grads: Sequence[list[Any]]) -> list[Any]:
    """The gradients of the pieces, added up: large ones on several threads.

    Each is taken out of its list as it is added, so that its memory is there for the next sum.
    """
    count = len(grads[0])

    def add(i: int) -> Any:
        total: Any = None
        for piece in grads:
            g, piece[i] = piece[i], None
            total = g if total is None else total if g is None else plus(total, g)
        return total

    sizes = [0 if g is None or isinstance(g, RowSparse) else g.size for g in grads[0]]
    if len(grads) == 1 or sum(sizes) < LARGE:
        return [add(i) for i in range(count)]
    order = sorted(range(count), key=lambda i: -sizes[i])
    groups = [order[k :: len(grads)] for k in range(len(grads))]
    results = fork(*[lambda group=group: [add(i) for i in group] for group in groups])
    sums: dict[int, Any] = {}
    for group, found in zip(groups, results, strict=True):
        sums.update(zip(group, found, strict=True))
    return [sums[i] for i in range(count)]
