"""One step of an LSTM on the CPU, as a decoder's cell takes it: nothing is prepared for a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backend import Array
from .. import rows
from ._products import product

Gradients = tuple[Array | None, ...]


def lstm_step(
    xp: Any, x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, bias: Array | None
) -> tuple[tuple[Array, Array, Array], Callable[[Any, Any], Gradients]]:
    """What `lstm` makes of x (1, B, I), and a function that takes the step back.

    The weights stay as they are, and the gates in their order, i f g o. The cell state is features
    major in memory, which is how the next step wants it.
    """
    x, (B, H) = x[0], c.shape
    gates, by_h = (xp.empty((4 * H, B), dtype=x.dtype) for _ in range(2))
    product(xp, w_ih, xp.array(x.T, order="C"), gates)()
    product(xp, w_hh, xp.array(h.T, order="C"), by_h)()
    gates += by_h
    if bias is not None:
        gates += bias[:, None]
    sigmoids, half = (gates[: 2 * H], gates[3 * H :]), xp.full((), 0.5, dtype=x.dtype)
    for part in sigmoids:  # σ(a) = ½ + ½ tanh(a/2)
        part *= half
    xp.tanh(gates, out=gates)
    for part in sigmoids:
        part *= half
        part += half
    i, f, g, o = gates.reshape(4, H, B)
    before = xp.ascontiguousarray(c.T)
    after, added = f * before, i * g
    after += added
    tanh_c = xp.tanh(after)
    new = xp.array((o * tanh_c).T, order="C")

    def back(gs: Any, needs: Any) -> Gradients:
        dy, dh, dc = gs
        if dy is not None:
            dh = dy[0] if dh is None else dh + dy[0]
        dm = xp.zeros_like(after) if dh is None else xp.array(dh.T, order="C")
        d = xp.empty_like(gates)
        di, df, dg, do = d.reshape(4, H, B)
        xp.multiply(dm, tanh_c, out=do)
        dcell = do * tanh_c
        xp.subtract(dm, dcell, out=dcell)
        dcell *= o
        if dc is not None:
            dcell += dc.T
        xp.multiply(dcell, g, out=di)
        xp.multiply(dcell, before, out=df)
        xp.multiply(dcell, i, out=dg)
        dcell *= f
        slopes = gates * gates
        xp.subtract(gates, slopes, out=slopes)  # σ' = σ - σ²
        of_g = slopes[2 * H : 3 * H]
        xp.multiply(g, g, out=of_g)
        xp.subtract(1, of_g, out=of_g)  # tanh' = 1 - tanh²
        d *= slopes

        def times(a: Array, b: Array) -> Array:
            out = xp.empty((a.shape[0], b.shape[1]), dtype=d.dtype)
            product(xp, a, b, out)()
            return out

        dx = times(d.T, w_ih)[None] if needs[0] else None
        dw_ih = times(d, x) if needs[3] else None
        dw_hh = times(d, h) if needs[4] else None
        db = rows.row_sums(xp, d)[:, 0] if needs[5] or needs[6] else None
        return dx, times(d.T, w_hh), dcell.T, dw_ih, dw_hh, db, db, None

    return (new[None], new, after.T), back
