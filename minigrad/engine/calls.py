"""The errors of a call whose arguments are not those of the function, PyTorch's names above all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from ..errors import ArgumentError, DTypeError

F = TypeVar("F", bound=Callable[..., Any])

# PyTorch's name of an argument → what it may be called here; the first that the function has counts
TORCH = {
    "dim": ("axis", "axes"),
    "dims": ("axis", "axes", "shift", "repetitions"),
    "dim0": ("axes",),
    "keepdim": ("keepdims",),
    "start_dim": ("start_axis",),
    "end_dim": ("end_axis",),
    "size": ("shape",),
    "shifts": ("shift",),
    "split_size_or_sections": ("indices_or_sections",),
    "src": ("source",),
    "unbiased": ("correction",),
    "hx": ("state", "h"),
    "size_average": ("reduction",),
    "reduce": ("reduction",),
    "p": ("ord",),
    "attn_mask": ("mask",),
}
# PyTorch's and NumPy's name of a function → what to write here
NAMES = {
    "absolute": "mg.abs(x)",
    "array": "mg.tensor(x) or mg.asarray(x)",
    "bmm": "x @ y",
    "cat": "mg.concat",
    "clamp": "mg.clip",
    "concatenate": "mg.concat",
    "cumprod": "mg.cumulative_prod",
    "cumsum": "mg.cumulative_sum",
    "div": "x / y",
    "dot": "x @ y",
    "eq": "x == y",
    "ge": "x >= y",
    "gt": "x > y",
    "index_select": "mg.take(x, indices, axis=…)",
    "inference_mode": "mg.no_grad()",
    "le": "x <= y",
    "load": "mg.io.load_safetensors or mg.io.load_checkpoint",
    "lt": "x < y",
    "masked_select": "x[mask]",
    "mm": "x @ y",
    "mul": "x * y",
    "ne": "x != y",
    "neg": "-x",
    "permute": "mg.permute_dims",
    "power": "mg.pow",
    "repeat_interleave": "mg.repeat",
    "save": "mg.io.save_safetensors or mg.io.save_checkpoint",
    "set_grad_enabled": "mg.no_grad() or mg.enable_grad()",
    "sub": "x - y",
    "swapaxes": "mg.permute_dims, or x.mT for the last two",
    "transpose": "mg.permute_dims, or x.mT for the last two axes",
    "unsqueeze": "mg.expand_dims",
    "view": "mg.reshape",
}
_FIRST = {"input": 0, "self": 0, "tensor": 0, "tensors": 0, "other": 1, "input1": 0, "input2": 1}


def wrong_arguments(
    name: str, signature: inspect.Signature, given: Iterable[str], why: str
) -> ArgumentError:
    """The error for keywords, or a number of arguments, that a function does not take."""
    names = list(signature.parameters)
    hints = []
    for word in given:
        parameter = signature.parameters.get(word)
        if parameter is not None and parameter.kind is not parameter.POSITIONAL_ONLY:
            continue
        here = [n for n in TORCH.get(word, ()) if n in names]
        if here and signature.parameters[here[0]].kind is inspect.Parameter.POSITIONAL_ONLY:
            hints.append(f"give PyTorch's {word}= by position, as {here[0]!r}")
        elif here:
            hints.append(f"write {here[0]}= for PyTorch's {word}=")
        elif word in names:
            hints.append(f"give {word!r} by position")
        elif _FIRST.get(word, len(names)) < len(names):
            place = "first" if not _FIRST[word] else "second"
            hints.append(f"give PyTorch's {word}= as the {place} argument, without a name")
    plain = signature.replace(
        parameters=[p.replace(annotation=p.empty) for p in signature.parameters.values()],
        return_annotation=signature.empty,
    )
    return ArgumentError(f"{name}: {why}; {'; '.join([*hints, f'it is {name}{plain}'])}")


def wrong_call(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], error: Exception
) -> Exception | None:
    """A better error for a call that failed, if its arguments are to blame."""
    name, signature = f.__name__.strip("_"), inspect.signature(f)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as why:
        return wrong_arguments(name, signature, kwargs, str(why))
    if isinstance(error, AttributeError) and args and not hasattr(args[0], "dtype"):
        return no_array(name, args[0])
    return None


def no_array(name: str, value: Any) -> DTypeError:
    """The error for something that is neither a tensor nor an array."""
    return DTypeError(
        f"{name}: got {type(value).__name__}, expected a tensor or an array; "
        "mg.asarray makes one of lists and numbers"
    )


def explained(f: F) -> F:
    """Decorator: a call with arguments that `f` does not take says what to write instead."""

    @wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except (TypeError, AttributeError) as error:
            better = wrong_call(f, args, kwargs, error)
            if better is None:
                raise
            raise better from error

    return cast(F, call)


def has_axes(f: Callable[..., Any]) -> bool:
    """Whether f has arguments that PyTorch calls otherwise."""
    code = f.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return not {"axis", "axes", "keepdims", "source", "indices_or_sections"}.isdisjoint(names)
