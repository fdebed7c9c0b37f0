"""The command `minigrad`: draw a computation, check its derivatives, list its tape, try the GPU.

    minigrad draw train.py:loss -o graph.html
    minigrad draw --model lstm --steps 20 --composite -o lstm.svg
    minigrad check train.py:loss
    minigrad tape train.py:loss
    minigrad gpu

The function is called without arguments and returns a Tensor, or (Tensor, model).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import MinigradError

__all__ = ["main"]

MODELS = ("attention", "bilstm", "gru", "lstm", "mlp", "rnn", "transformer")
WHERE = "a file and a function in it that takes no arguments"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status.

    0: done. 1: a derivative is wrong. 2: the command line or the function is not what is expected.

    >>> main(["draw", "--model", "rnn", "--steps", "3"])
    RNN  —  loss
    ...
    0
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        status = int(args.run(args))
        sys.stdout.flush()
    except MinigradError as error:
        message = str(error).removeprefix(f"{args.command}: ")
        sys.stderr.write(f"minigrad {args.command}: {message}\n")
        return 2
    except BrokenPipeError:  # `minigrad tape … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    from .. import __version__

    parser = argparse.ArgumentParser(
        prog="minigrad",
        description="Draw a computation, check its derivatives, list its tape, try the GPU.",
    )
    parser.add_argument("--version", action="version", version=f"minigrad {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _draw_parser(commands)
    _check_parser(commands)
    _tape_parser(commands)
    gpu = commands.add_parser(
        "gpu",
        help="try what minigrad needs of a GPU",
        description="Products, kernels, random numbers and a captured step, beside the CPU's.",
    )
    gpu.set_defaults(run=_gpu)
    return parser


def _draw_parser(commands: Any) -> None:
    p = commands.add_parser(
        "draw",
        help="draw the graph of a computation",
        description="Draw what a function computed, or one of the models for a class. A loss that "
        "is one number is differentiated, so that the picture shows values and gradients.",
    )
    p.add_argument("where", nargs="?", metavar="SCRIPT.py:FUNCTION", help=WHERE)
    p.add_argument("--model", choices=MODELS, help="draw this model, without any code")
    p.add_argument(
        "-o", "--output", metavar="FILE",
        help="where to: .html .svg .png .pdf .tex .dot .mmd .json; without it, a summary in words",
    )  # fmt: skip
    sizes = p.add_argument_group("sizes of --model")
    for name, value, what in (
        ("steps", 20, "time steps"),
        ("hidden", 32, "hidden units"),
        ("features", 8, "features per step"),
        ("batch", 4, "sequences"),
        ("layers", 0, "layers (default: what is usual)"),
        ("seed", 0, "of the weights"),
    ):
        text = what if name == "layers" else f"{what} (default: {value})"
        sizes.add_argument(f"--{name}", type=int, default=value, metavar="N", help=text)
    look = p.add_argument_group("what to show; see minigrad.viz.draw_graph")
    look.add_argument("--composite", action="store_true", help="open every fused op")
    look.add_argument(
        "--expand",
        action="append",
        default=[],
        metavar="NAME[:STEPS]",
        help="open this op or module; lstm:3,4,19 draws these steps one by one",
    )
    look.add_argument("--depth", type=int, default=2, metavar="N", help="levels of modules")
    look.add_argument("--no-fold", action="store_true", help="every step, every layer by itself")
    look.add_argument("--no-backward", action="store_true", help="do not differentiate the loss")
    look.add_argument("--detail", default="auto", choices=("auto", "symbols", "cards", "tape"))
    look.add_argument("--direction", default="both", choices=("both", "forward", "backward"))
    look.add_argument("--rankdir", default="LR", choices=("LR", "TB", "RL", "BT"))
    look.add_argument("--theme", default="light", choices=("light", "dark"))
    look.add_argument("--title")
    look.add_argument("--dtype", action="store_true", help="show element types")
    look.add_argument("--places", action="store_true", help="show the line of code of each node")
    look.add_argument("--saved", action="store_true", help="show bytes kept for backward")
    look.add_argument("--color-by", choices=("grad", "time", "memory", "module"), metavar="WHAT",
                      help="fill nodes by grad, time, memory or module")  # fmt: skip
    look.add_argument("--max-nodes", type=int, default=400, metavar="N", help="then coarser")
    look.add_argument("--dpi", type=int, metavar="N", help="dots per inch of a PNG")
    p.set_defaults(run=_draw)


def _check_parser(commands: Any) -> None:
    p = commands.add_parser(
        "check",
        help="check derivatives against central differences",
        description="First order, second order and forward mode, per input, in float64. The "
        "function returns (f, inputs), inputs being arrays, Tensors or a dict of them; or a "
        "Tensor, or (Tensor, model), whose leaves are then the inputs. A function that has "
        "arguments, all with defaults, is checked itself at those.",
    )
    p.add_argument("where", metavar="SCRIPT.py:FUNCTION", help="a file and a function in it")
    p.add_argument("--order", type=int, default=2, choices=(1, 2), help="1: no second order")
    p.add_argument("--eps", type=float, default=1e-6, metavar="X", help="step (default: 1e-6)")
    p.add_argument("--atol", type=float, default=1e-6, metavar="X", help="default: 1e-6")
    p.add_argument("--rtol", type=float, default=1e-5, metavar="X", help="default: 1e-5")
    p.set_defaults(run=_check)


def _tape_parser(commands: Any) -> None:
    p = commands.add_parser(
        "tape",
        help="print the tape as a listing",
        description="Each line: op, inputs, shape, dtype, bytes kept for the backward pass, "
        "derivative rule, line of code. %%3 is the result of line 3.",
    )
    p.add_argument("where", metavar="SCRIPT.py:FUNCTION", help=WHERE)
    p.add_argument("--last", type=int, default=0, metavar="N", help="only the latest N lines")
    p.set_defaults(run=_tape)


def _draw(args: argparse.Namespace) -> int:
    from .draw import draw

    sys.stdout.write(draw(args))
    return 0


def _check(args: argparse.Namespace) -> int:
    from .check import check

    text, passed = check(args.where, order=args.order, eps=args.eps, atol=args.atol, rtol=args.rtol)
    sys.stdout.write(text)
    return 0 if passed else 1


def _gpu(args: argparse.Namespace) -> int:
    from .gpu import gpu

    for line in gpu():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


def _tape(args: argparse.Namespace) -> int:
    from ..errors import ConfigError
    from ..viz import Graph, listing
    from .script import call, load

    result = call(load(args.where))
    if isinstance(result, Graph):
        raise ConfigError("the function returned a Graph; return the Tensor it was drawn from")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    text = listing(
        result.outputs, model=result.model, params=result.params, last=args.last, width=width
    )
    sys.stdout.write(text)
    return 0
