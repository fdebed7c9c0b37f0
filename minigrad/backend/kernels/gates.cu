// The gates of recurrent layers: all of a step but its product. Features major, as the loops keep
// them: (H, n) for n sequences, one thread per element. Sigmoids come as σ(x) = ½ + ½ tanh(x/2),
// and the halving is in the weights.
// gates (4H, n): g o f i. block (6, H, n): tanh c, c before, g, o, f, i; after (H, n): c.
extern "C" __global__ void lstm_forward(
    const T* gates, i64 gates_row, T* block, T* after, T* hidden, i64 hidden_row,
    T* out, i64 out_row, i64 H, i64 n) {
  i64 plane = H * n;
  MG_EACH(e, plane) {
    i64 k = e / n, j = e % n;
    A g = tanh(A(gates[k * gates_row + j]));
    A o = mg_sigmoid(gates[(H + k) * gates_row + j]);
    A f = mg_sigmoid(gates[(2 * H + k) * gates_row + j]);
    A i = mg_sigmoid(gates[(3 * H + k) * gates_row + j]);
    A c = f * A(block[plane + e]) + i * g, squashed = tanh(c);
    block[e] = squashed; block[2 * plane + e] = g; block[3 * plane + e] = o;
    block[4 * plane + e] = f; block[5 * plane + e] = i;
    after[e] = c;
    hidden[k * hidden_row + j] = out[j * out_row + k] = o * squashed;
  }
}

// dh (H, n), dy (n, H) or has_dy = 0; carry (H, n): dc ∘ f of the step after, then of this one;
// columns (4, H, n): i f g o.
extern "C" __global__ void lstm_backward(
    const T* dh, const T* dy, i64 dy_row, i64 has_dy, const T* block, T* carry,
    T* columns, i64 columns_plane, i64 columns_row, i64 H, i64 n) {
  i64 plane = H * n;
  MG_EACH(e, plane) {
    i64 k = e / n, j = e % n, at = k * columns_row + j;
    A squashed = block[e], before = block[plane + e], g = block[2 * plane + e];
    A o = block[3 * plane + e], f = block[4 * plane + e], i = block[5 * plane + e];
    A dm = dh[e];
    if (has_dy) dm += A(dy[j * dy_row + k]);
    A dc = A(carry[e]) + dm * o * (1 - squashed * squashed);
    A dout = dm * squashed * o * (1 - o), dg = dc * i * (1 - g * g);
    A df = dc * before * f * (1 - f), di = dc * g * i * (1 - i);
    carry[e] = dc * f;
    columns[at] = di; columns[columns_plane + at] = df;
    columns[2 * columns_plane + at] = dg; columns[3 * columns_plane + at] = dout;
  }
}

// gates = U h + b' and projected = W x + b, (3H, n): r z n. block (5, H, n): r, z, U h + b' of n,
// h - n, n. hidden is h before, then h.
extern "C" __global__ void gru_forward(
    const T* gates, const T* projected, i64 projected_row, T* block, T* hidden,
    T* out, i64 out_row, i64 H, i64 n) {
  i64 plane = H * n;
  MG_EACH(e, plane) {
    i64 k = e / n, j = e % n;
    const T* x = projected + k * projected_row + j;
    A r = mg_sigmoid(A(gates[e]) + A(x[0]));
    A z = mg_sigmoid(A(gates[plane + e]) + A(x[H * projected_row]));
    A from_h = gates[2 * plane + e];
    A fresh = tanh(r * from_h + A(x[2 * H * projected_row]));
    A change = A(hidden[e]) - fresh;
    block[e] = r; block[plane + e] = z; block[2 * plane + e] = from_h;
    block[3 * plane + e] = change; block[4 * plane + e] = fresh;
    hidden[e] = out[j * out_row + k] = fresh + z * change;
  }
}

// dh (H, n) becomes dh ∘ z; columns (4, H, n): n, r, z as the inputs meet them, then n as the
// state does.
extern "C" __global__ void gru_backward(
    T* dh, const T* dy, i64 dy_row, i64 has_dy, const T* block,
    T* columns, i64 columns_plane, i64 columns_row, i64 H, i64 n) {
  i64 plane = H * n;
  MG_EACH(e, plane) {
    i64 k = e / n, j = e % n, at = k * columns_row + j;
    A r = block[e], z = block[plane + e], from_h = block[2 * plane + e];
    A change = block[3 * plane + e], fresh = block[4 * plane + e];
    A g = dh[e];
    if (has_dy) g += A(dy[j * dy_row + k]);
    A through = g * z, dn = (g - through) * (1 - fresh * fresh), dhn = dn * r;
    A dr = dhn * from_h * (1 - r), dz = through * change * (1 - z);
    dh[e] = through;
    columns[at] = dn; columns[columns_plane + at] = dr;
    columns[2 * columns_plane + at] = dz; columns[3 * columns_plane + at] = dhn;
  }
}

extern "C" __global__ void rnn_forward(
    const T* gate, i64 gate_row, T* hidden, i64 hidden_row, T* out, i64 out_row, i64 relu,
    i64 H, i64 n) {
  MG_EACH(e, H * n) {
    i64 k = e / n, j = e % n;
    A x = gate[k * gate_row + j];
    hidden[k * hidden_row + j] = out[j * out_row + k] = relu ? (x > 0 || x != x ? x : A(0)) : tanh(x);
  }
}

extern "C" __global__ void rnn_backward(
    const T* dh, const T* dy, i64 dy_row, i64 has_dy, const T* out, i64 out_row,
    T* columns, i64 columns_row, i64 relu, i64 H, i64 n) {
  MG_EACH(e, H * n) {
    i64 k = e / n, j = e % n;
    A y = out[j * out_row + k], g = dh[e];
    if (has_dy) g += A(dy[j * dy_row + k]);
    columns[k * columns_row + j] = g * (relu ? A(y > 0) : 1 - y * y);
  }
}
