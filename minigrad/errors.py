"""Every exception that minigrad raises on purpose.

Each is also the built-in exception that Python programmers expect: ``except ValueError`` works::

    MinigradError
    ├── ShapeError          (ValueError)    shapes that do not fit each other
    │   └── AxisError       (IndexError)    an axis that the array does not have
    ├── DTypeError          (TypeError)     an element type the function does not take
    ├── ArgumentError       (TypeError)     an argument the function does not have, or misses
    ├── DeviceError         (RuntimeError)  devices mixed, or a device that is not there
    │   └── DeviceMemoryError (MemoryError) a GPU has no room for an array
    ├── IndexRangeError     (IndexError)    an index or a token id outside its range
    ├── LinAlgError         (ValueError)    a matrix that is singular, or has no such decomposition
    ├── ConfigError         (ValueError)    an option or a combination of options with no meaning
    ├── GradError           (RuntimeError)  differentiation was asked of something it cannot pass
    │   ├── InPlaceError                    a value saved for the backward pass was overwritten
    │   ├── AnomalyError                    a NaN or infinity appeared under anomaly detection
    │   └── GraphFreedError                 a graph was used again after its buffers were freed
    ├── CompileError        (RuntimeError)  a step that cannot be recorded as a program
    ├── CheckpointError     (ValueError)    a checkpoint that is broken, or does not fit the model
    ├── DataError           (ValueError)    a data set that is absent or malformed
    │   └── ChecksumError                   a data file whose contents are not the published ones
    ├── ParallelError       (RuntimeError)  processes that train together, and one does not answer
    └── MissingExtraError   (ImportError)   an optional package is needed and not installed

A message starts with the function's name and says what was given, what was expected, what to do:
``lstm: x has 32 features, weight_ih_l0 expects 64; x is (T, B, features)``.
"""

from __future__ import annotations

__all__ = [
    "AnomalyError",
    "ArgumentError",
    "AxisError",
    "CheckpointError",
    "ChecksumError",
    "CompileError",
    "ConfigError",
    "DTypeError",
    "DataError",
    "DeviceError",
    "DeviceMemoryError",
    "GradError",
    "GraphFreedError",
    "InPlaceError",
    "IndexRangeError",
    "LinAlgError",
    "MinigradError",
    "MissingExtraError",
    "ParallelError",
    "ShapeError",
    "missing_extra",
]


class MinigradError(Exception):
    """The root: ``except mg.errors.MinigradError`` catches all that minigrad raises on purpose."""


class ShapeError(MinigradError, ValueError):
    """Shapes that do not fit each other or the function."""


class AxisError(ShapeError, IndexError):
    """An axis that the array does not have."""


class DTypeError(MinigradError, TypeError):
    """An element type that the function does not take."""


class ArgumentError(MinigradError, TypeError):
    """An argument that is missing, or that the function does not have, such as PyTorch's `dim=`.

    The message says what the argument is called here.
    """


class DeviceError(MinigradError, RuntimeError):
    """Arrays of two devices met, or a device was asked for that is not there."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A GPU has no room for an array: the message says what was asked and what was free."""


class IndexRangeError(MinigradError, IndexError):
    """An index or token id outside its range."""


class LinAlgError(MinigradError, ValueError):
    """A matrix that is singular, or that has no such decomposition."""


class ConfigError(MinigradError, ValueError):
    """An option, or a combination of options, that has no meaning."""


class GradError(MinigradError, RuntimeError):
    """Differentiation was asked of something that it cannot pass through."""


class InPlaceError(GradError):
    """A value that the backward pass needs was overwritten by `assign_`."""


class AnomalyError(GradError):
    """A NaN or an infinity appeared while anomaly detection was on."""


class GraphFreedError(GradError):
    """A graph was used again after the backward pass had freed what it kept."""


class CompileError(MinigradError, RuntimeError):
    """`mg.compile`: what a function does cannot be recorded as a program."""


class CheckpointError(MinigradError, ValueError):
    """A checkpoint file that is broken, or a state that does not fit its model."""


class DataError(MinigradError, ValueError):
    """A data set that is absent or malformed."""


class ChecksumError(DataError):
    """A data file whose contents are not the published ones."""


class ParallelError(MinigradError, RuntimeError):
    """Processes train together, and one of them does not answer."""


class MissingExtraError(MinigradError, ImportError):
    """An optional package is needed and not installed; the message holds the pip command."""


def missing_extra(package: str, *, extra: str) -> MissingExtraError:
    """The exception to raise when the optional `package`, a part of `extra`, cannot be imported.

    >>> raise missing_extra("matplotlib", extra="viz")
    Traceback (most recent call last):
        ...
    minigrad.errors.MissingExtraError: matplotlib is not installed: pip install "minigrad[viz]"
    """
    return MissingExtraError(
        f'{package} is not installed: pip install "minigrad[{extra}]"', name=package
    )
