// The gates of recurrent layers: all of a step but its product. Features major, as the loops keep
// them: (H, n) for n sequences, one thread per element.
#include "cells.cuh"

// gates (4H, n): g o f i. block (6, H, n) has c before; after (H, n): c.
extern "C" __global__ void lstm_forward(
    const T* gates, i64 gates_row, T* block, T* after, T* hidden, i64 hidden_row,
    T* out, i64 out_row, i64 H, i64 n) {
  MG_EACH(e, H * n) {
    i64 k = e / n, j = e % n;
    A x[4], none[4] = {0, 0, 0, 0};
    for (int g = 0; g < 4; ++g) x[g] = gates[(g * H + k) * gates_row + j];
    A h = Lstm::forward(x, none, block + e, after + e, H * n, 0, 0);
    hidden[k * hidden_row + j] = out[j * out_row + k] = h;
  }
}

// dh (H, n), dy (n, H) or has_dy = 0; carry (H, n): of the step after, then of this one; columns
// (4, H, n).
extern "C" __global__ void lstm_backward(
    const T* dh, const T* dy, i64 dy_row, i64 has_dy, const T* block, T* carry,
    T* columns, i64 columns_plane, i64 columns_row, i64 H, i64 n) {
  MG_EACH(e, H * n) {
    i64 k = e / n, j = e % n;
    A v[4], g = dh[e];
    if (has_dy) g += A(dy[j * dy_row + k]);
    Lstm::backward(g, 0, block + e, H * n, carry + e, columns + k * columns_row + j, columns_plane, v, 0);
  }
}

// gates = U h + b' and projected = W x + b, (3H, n): r z n. hidden is h before, then h.
extern "C" __global__ void gru_forward(
    const T* gates, const T* projected, i64 projected_row, T* block, T* hidden,
    T* out, i64 out_row, i64 H, i64 n) {
  MG_EACH(e, H * n) {
    i64 k = e / n, j = e % n;
    A x[3], u[3];
    for (int g = 0; g < 3; ++g) {
      x[g] = projected[(g * H + k) * projected_row + j];
      u[g] = gates[(g * H + k) * n + j];
    }
    hidden[e] = out[j * out_row + k] = Gru::forward(x, u, block + e, 0, H * n, hidden[e], 0);
  }
}

// dh (H, n) becomes dh ∘ z; columns (4, H, n).
extern "C" __global__ void gru_backward(
    T* dh, const T* dy, i64 dy_row, i64 has_dy, const T* block,
    T* columns, i64 columns_plane, i64 columns_row, i64 H, i64 n) {
  MG_EACH(e, H * n) {
    i64 k = e / n, j = e % n;
    A v[3], g = dh[e];
    if (has_dy) g += A(dy[j * dy_row + k]);
    dh[e] = Gru::backward(g, 0, block + e, H * n, 0, columns + k * columns_row + j, columns_plane, v, 0);
  }
}

extern "C" __global__ void rnn_forward(
    const T* gate, i64 gate_row, T* hidden, i64 hidden_row, T* out, i64 out_row, i64 relu,
    i64 H, i64 n) {
  MG_EACH(e, H * n) {
    i64 k = e / n, j = e % n;
    A x = gate[k * gate_row + j], none = 0;
    hidden[k * hidden_row + j] = out[j * out_row + k] = Plain::forward(&x, &none, 0, 0, 0, 0, relu);
  }
}

extern "C" __global__ void rnn_backward(
    const T* dh, const T* dy, i64 dy_row, i64 has_dy, const T* out, i64 out_row,
    T* columns, i64 columns_row, i64 relu, i64 H, i64 n) {
  MG_EACH(e, H * n) {
    i64 k = e / n, j = e % n;
    A v, g = dh[e];
    if (has_dy) g += A(dy[j * dy_row + k]);
    Plain::backward(g, out + j * out_row + k, 0, 0, 0, columns + k * columns_row + j, 0, &v, relu);
  }
}
