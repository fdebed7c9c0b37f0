// A block per row: cross entropy and layer normalisation. Sums run in a fixed tree.

// x (N, C) logits, ids (N,) classes, scale (N,) what each row counts: loss = scale · -log softmax of
// its class. slope (N, C) is the derivative over `divisor`, a device scalar.
extern "C" __global__ void cross_entropy(
    const T* x, const i64* ids, const T* scale, const T* divisor, T* loss, T* surprise, T* slope,
    i64 want_slope, i64 C) {
  MG_SHARED(A, room);
  i64 row = blockIdx.x, id = ids[row];
  const T* xs = x + row * C;
  A most = -MG_INFINITY, total = 0;
  for (i64 c = threadIdx.x; c < C; c += blockDim.x) {
    A value = xs[c];
    if (value > most || value != value) most = value;
  }
  most = mg_block_max(most, room);
  for (i64 c = threadIdx.x; c < C; c += blockDim.x) total += exp(A(xs[c]) - most);
  total = mg_block_sum(total, room);
  A weight = scale[row], log_sum = log(total) + most;
  if (threadIdx.x == 0) {
    surprise[row] = log_sum;
    loss[row] = weight != 0 ? weight * (log_sum - A(xs[id])) : A(0);  // an ignored row may hold -inf
  }
  if (!want_slope) return;
  A factor = weight / A(divisor[0]);
  for (i64 c = threadIdx.x; c < C; c += blockDim.x)
    slope[row * C + c] = (exp(A(xs[c]) - most) / total - A(c == id)) * factor;
}

// y = normal · γ + β with normal = (x - E[x]) / √(Var[x] + ε); scale keeps 1 / √(Var[x] + ε).
extern "C" __global__ void layer_norm_forward(
    const T* x, const T* weight, i64 has_weight, const T* bias, i64 has_bias, T* y, A* normal, A* scale,
    double eps, i64 D) {
  MG_SHARED(A, room);
  i64 first = (i64)blockIdx.x * D;
  A sum = 0, squares = 0;
  for (i64 d = threadIdx.x; d < D; d += blockDim.x) sum += A(x[first + d]);
  A mean = mg_block_sum(sum, room) / D;
  for (i64 d = threadIdx.x; d < D; d += blockDim.x) {
    A centred = A(x[first + d]) - mean;
    squares += centred * centred;
  }
  A inverse = 1 / sqrt(mg_block_sum(squares, room) / D + A(eps));
  if (threadIdx.x == 0) scale[blockIdx.x] = inverse;
  for (i64 d = threadIdx.x; d < D; d += blockDim.x) {
    A value = (A(x[first + d]) - mean) * inverse;
    normal[first + d] = value;
    if (has_weight) value *= A(weight[d]);
    if (has_bias) value += A(bias[d]);
    y[first + d] = value;
  }
}

// dx, and g ∘ normal, whose column sums are the gradient of γ.
extern "C" __global__ void layer_norm_backward(
    const T* g, const A* normal, const A* scale, const T* weight, i64 has_weight, T* dx, A* product,
    i64 D) {
  MG_SHARED(A, room);
  i64 first = (i64)blockIdx.x * D;
  A plain = 0, along = 0;
  for (i64 d = threadIdx.x; d < D; d += blockDim.x) {
    A up = g[first + d], z = normal[first + d], w = has_weight ? A(weight[d]) : A(1);
    product[first + d] = up * z;
    plain += up * w;
    along += up * w * z;
  }
  plain = mg_block_sum(plain, room) / D;
  along = mg_block_sum(along, room) / D;
  for (i64 d = threadIdx.x; d < D; d += blockDim.x) {
    A w = has_weight ? A(weight[d]) : A(1);
    dx[first + d] = (A(g[first + d]) * w - plain - A(normal[first + d]) * along) * scale[blockIdx.x];
  }
}
