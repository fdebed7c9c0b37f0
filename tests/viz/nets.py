"""Small computations to draw, of plain ops and fixed shapes."""

from __future__ import annotations

import numpy as np

import minigrad as mg


def leaf(*shape, seed=0, name=None):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 0.3
    t = mg.tensor(values, requires_grad=True)
    if name:
        t.name = name
    return t


def constant(*shape, seed=1):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def mlp():
    params = {
        "hidden.weight": leaf(4, 8), "hidden.bias": leaf(8), "out.weight": leaf(8, 3),
        "out.bias": leaf(3),
    }  # fmt: skip
    x, y = constant(16, 4), constant(16, 3)
    with mg.scope("MLP"):
        with mg.scope("hidden"):
            h = x @ params["hidden.weight"] + params["hidden.bias"]
        h = mg.tanh(h)
        with mg.scope("out"):
            z = h @ params["out.weight"] + params["out.bias"]
    d = z - y
    return (d * d).sum(), {**params, "x": x, "y": y}


def shared():
    w = leaf(4, 4)
    x = constant(2, 4)
    h = mg.tanh(mg.tanh(x @ w) @ w)
    return (h * h).sum(), {"w": w, "x": x}


def diamond():
    a = leaf(name="a")
    b = a * a
    return mg.exp(b) * mg.sin(b) + b, {}


def double_backward():
    x = leaf(3, name="x")
    y = mg.tanh(x).sum()
    (g,) = mg.grad(y, [x], create_graph=True)
    return (g * g).sum(), {}


def lstm(steps=20, *, batch=4, features=3, hidden=5, every_step=False, keep=None):
    """An LSTM written with plain ops, in PyTorch's order of gates."""
    H = hidden
    w_x, w_h, b = leaf(features, 4 * H), leaf(H, 4 * H, seed=2), leaf(4 * H, seed=3)
    w_o = leaf(H, 2, seed=4)
    h, c = mg.zeros((batch, H)), mg.zeros((batch, H))
    seen = []
    kept = [h, c]
    for t in range(steps):
        x = constant(batch, features, seed=t)
        kept.append(x)
        z = x @ w_x + h @ w_h + b
        i, f = mg.sigmoid(z[:, :H]), mg.sigmoid(z[:, H : 2 * H])
        g, o = mg.tanh(z[:, 2 * H : 3 * H]), mg.sigmoid(z[:, 3 * H :])
        c = f * c + i * g
        h = o * mg.tanh(c)
        seen.append(h)
    out = mg.stack(seen) if every_step else h
    if keep is not None:
        keep.extend(kept)
    return (out @ w_o).sum(), {"w_x": w_x, "w_h": w_h, "b": b, "head": w_o}


def bilstm(steps=8, *, batch=4, features=3, hidden=5):
    """Two LSTMs of plain ops over one sequence, from either end, joined at each step."""
    xs = [constant(batch, features, seed=t) for t in range(steps)]
    ways, params = [], {f"x{t}": x for t, x in enumerate(xs)}
    for name, order in (("forward", range(steps)), ("backward", reversed(range(steps)))):
        w_x, w_h = leaf(features, 4 * hidden), leaf(hidden, 4 * hidden, seed=2)
        params |= {f"{name}.w_x": w_x, f"{name}.w_h": w_h}
        h, c, out = mg.zeros((batch, hidden)), mg.zeros((batch, hidden)), {}
        params |= {f"{name}.h0": h, f"{name}.c0": c}
        with mg.scope(name):
            for t in order:
                z = xs[t] @ w_x + h @ w_h
                i, f, g, o = (z[:, k * hidden : (k + 1) * hidden] for k in range(4))
                c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
                h = out[t] = mg.sigmoid(o) * mg.tanh(c)
        ways.append(mg.stack([out[t] for t in range(steps)]))
    return mg.concat(ways, axis=-1).sum(), params


def attention():
    """Scaled dot products of two heads, in plain ops."""
    q, k, v = (leaf(2, 6, 4, seed=i) for i in range(3))
    weights = mg.softmax(q @ mg.matrix_transpose(k) / 2.0, axis=-1)
    return (weights @ v).sum(), {"query": q, "key": k, "value": v}


def conv():
    """Two convolutions as windows and a product, with a pool."""
    x = constant(2, 1, 12)
    params = {"x": x}
    for layer in range(2):
        w = params[f"conv{layer}.weight"] = leaf(3, x.shape[1] * 3, seed=layer)
        with mg.scope(f"conv{layer}"):
            seen = mg.permute_dims(mg.ops.unfold(x, axis=2, size=3), (0, 2, 1, 3))
            x = mg.permute_dims(mg.relu(seen.reshape((*seen.shape[:2], -1)) @ w.T), (0, 2, 1))
    return x.mean(axis=2).sum(), params


def chain(length, ops=("tanh",), seed=0):
    x = leaf(2)
    picks = np.random.default_rng(seed).integers(0, len(ops), length)
    y = x
    for pick in picks:
        y = getattr(mg, ops[pick])(y)
    return y.sum()
