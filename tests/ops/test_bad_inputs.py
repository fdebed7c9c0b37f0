"""Bad calls of every public function and every op: an error of ours, that says what to write."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    IndexRangeError,
    MinigradError,
    ShapeError,
)
from tests.ops.harness import TABLE, samples

X = mg.tensor(np.random.default_rng(0).standard_normal((3, 4)))


def public():
    """(name, function, parameters) of the public functions."""
    for name in mg.__all__:
        f = getattr(mg, name)
        if callable(f) and not inspect.isclass(f) and not name.startswith(("checkpoint", "_")):
            yield name, f, list(inspect.signature(f).parameters.values())


def called(f, parameters, **keyword):
    """f of X, as often as it wants arrays, and a keyword."""
    needed = [
        p for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        and p.name not in ("axis", "axes")
    ]  # fmt: skip
    return f(*[X] * len(needed), **keyword)


WORDS = [("dim", "axis"), ("dim", "axes"), ("keepdim", "keepdims")]
CASES = [
    (name, f, parameters, theirs, ours)
    for name, f, parameters in public()
    for theirs, ours in WORDS
    if ours in [p.name for p in parameters]
]


@pytest.mark.parametrize(
    ("name", "f", "parameters", "theirs", "ours"), CASES, ids=[f"{c[0]}-{c[3]}" for c in CASES]
)
def test_words_of_pytorch(name, f, parameters, theirs, ours):
    with pytest.raises(ArgumentError, match=rf"{name}: .*write {ours}= for PyTorch's {theirs}="):
        called(f, parameters, **{theirs: 0})


METHODS = [
    name
    for name, f in inspect.getmembers(mg.Tensor, inspect.isfunction)
    if {"axis", "keepdims"} & set(inspect.signature(f).parameters)
]


@pytest.mark.parametrize("name", METHODS)
def test_words_of_pytorch_in_methods(name):
    parameters = inspect.signature(getattr(mg.Tensor, name)).parameters
    theirs, ours = ("dim", "axis") if "axis" in parameters else ("keepdim", "keepdims")
    with pytest.raises(ArgumentError, match=rf"{name}: .*write {ours}= for PyTorch's {theirs}="):
        getattr(X, name)(**{theirs: 0})


@pytest.mark.parametrize(
    ("make", "ours"),
    [
        (lambda: nn.Softmax(dim=1), "axis="),
        (lambda: nn.LogSoftmax(dim=1), "axis="),
        (lambda: nn.GLU(dim=1), "axis="),
        (lambda: nn.CosineSimilarity(dim=1), "axis="),
        (lambda: nn.PairwiseDistance(keepdim=True), "keepdims="),
        (lambda: nn.Flatten(start_dim=0, end_dim=1), "start_axis=.*end_axis="),
        (lambda: nn.MSELoss(size_average=False), "reduction="),
        (lambda: nn.CrossEntropyLoss(reduce=False), "reduction="),
    ],
)
def test_words_of_pytorch_in_layers(make, ours):
    with pytest.raises(ArgumentError, match=ours):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.exp(input=X), "input= as the first argument"),
        (lambda: mg.add(X, other=X), "other= as the second argument"),
        (lambda: mg.sort(input=X), "input= as the first argument"),
        (lambda: mg.concat(tensors=[X]), "tensors= as the first argument"),
        (lambda: mg.gather(X, dim=1, index=X), "write axis= .*give 'index' by position"),
        (
            lambda: mg.scaled_dot_product_attention(X, X, X, attn_mask=X),
            "attn_mask= by position, as 'mask'",
        ),
        (lambda: mg.scatter(X, X, src=X, axis=0), "src= by position, as 'source'"),
        (lambda: mg.roll(X, shifts=1), "write shift="),
        (lambda: mg.var(X, unbiased=False), "write correction="),
        (lambda: mg.reshape(X), "'shape' is missing"),
        (lambda: mg.exp(X, X), "got 2 positional"),
        (mg.exp, "'x' is missing"),
        (lambda: mg.sum(X, nonsense=1), "no argument 'nonsense'.*sum\\(x, /"),
    ],
)  # fmt: skip
def test_other_words(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


# -- every op of the table -------------------------------------------------------------------------


def arrays(sample):
    inputs = sample.draw()
    return inputs, [i for i, x in enumerate(inputs) if hasattr(x, "dtype")]


@samples(s for s in TABLE if arrays(s)[1][:1] == [0] and s.call is None)
def test_something_that_is_no_array(sample):
    inputs, _ = arrays(sample)
    with pytest.raises(MinigradError, match=r"got str|cannot use str|str"):
        sample("abc", *inputs[1:])


@samples(s for s in TABLE if len(arrays(s)[1]) > 1 and not s.op.startswith("vmap"))
def test_two_devices(sample):
    inputs, places = arrays(sample)
    given = [mg.asarray(x) if i in places else x for i, x in enumerate(inputs)]
    given[places[0]] = mg.asarray(inputs[places[0]], device="strict")
    with pytest.raises((DeviceError, DTypeError), match=r"\w+: "):
        sample(*given)


@samples(s for s in TABLE if isinstance(s.params.get("axis"), int) and s.call is None)
def test_an_axis_that_is_none(sample):
    inputs = [mg.asarray(x) if hasattr(x, "dtype") else x for x in sample.draw()]
    with pytest.raises((ShapeError, IndexRangeError), match=sample.op):
        type(sample)(**{**vars(sample), "params": {**sample.params, "axis": 9}})(*inputs)


@samples(s for s in TABLE if s.registered.elementwise and len(arrays(s)[1]) > 1)
def test_shapes_that_do_not_broadcast(sample):
    inputs, places = arrays(sample)
    given = [np.resize(x, (2, 3 + i)) if i in places else x for i, x in enumerate(inputs)]
    for f in (np.asarray, mg.asarray):
        with pytest.raises(ShapeError, match=sample.op):
            sample(*[f(x) if i in places else x for i, x in enumerate(given)])


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "median"])
def test_nothing_to_choose_from(name):
    with pytest.raises(ShapeError, match=name):
        getattr(mg, name)(mg.ones((2, 0)), axis=1)


OUTSIDE = pytest.mark.parametrize(
    "call",
    [
        lambda i: mg.take(X, i, axis=1),
        lambda i: mg.take_along_axis(X, i, axis=1),
        lambda i: mg.gather(X, i, axis=1),
        lambda i: mg.embedding(X, i),
        lambda i: mg.one_hot(i, 4),
        lambda i: X[i],
        lambda i: mg.put(X, 0.0, i, axis=0),
        lambda i: mg.nll_loss(X, i[0]),
    ],
)


@OUTSIDE
def test_an_index_that_is_outside(call):
    with pytest.raises(IndexRangeError, match=r"\w+: "):
        call(mg.tensor([[0, 99, 1]] * 3))


@OUTSIDE
def test_an_index_that_is_no_integer(call):
    with pytest.raises(DTypeError, match=r"\w+: "):
        call(mg.tensor([[0.0, 1.0, 1.0]] * 3))
