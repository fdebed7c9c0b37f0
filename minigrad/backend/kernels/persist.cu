// A whole run of LSTM steps in one launch: each block owns J hidden units and keeps their weights in
// shared memory, so they are read once. The blocks meet in every step and must run at the same time.
// Either all blocks of the grid share the units (a cooperative launch), or, from sm_90 on, the eight
// of a cluster do, and each cluster has 32 sequences of its own: few units, and a quicker meeting.
// Source of the idea: Diamos et al., "Persistent RNNs", ICML 2016.
//
// A warp takes 32 sequences, one per lane: h is read in whole lines, weights as one word for all
// lanes, four units at a time in registers. Warps that are left over share the sum over k.
struct alignas(4 * sizeof(A)) mg_quad { A g[4]; };
#define UNITS 4

__device__ __forceinline__ bool mg_meet(unsigned* counter) {
  return counter ? mg_grid_sync(counter) : mg_cluster_sync();
}

// Σₖ weights[k, unit] h[k, j] for this block's units and `many` columns of the rows h, which are n
// long: sums (splits, J, many) of quads of gates.
__device__ __forceinline__ void mg_products(
    const mg_quad* weights, mg_quad* sums, const T* h, i64 H, i64 n, i64 many, i64 J, i64 splits) {
  const i64 warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const i64 groups = (many + 31) / 32, part = (H + splits - 1) / splits;
  for (i64 task = warp; task < groups * splits; task += warps) {
    i64 split = task / groups, j = task % groups * 32 + lane;
    i64 end = (split + 1) * part < H ? (split + 1) * part : H;
    if (j >= many) continue;
    for (i64 unit = 0; unit < J; unit += UNITS) {
      A sum[UNITS][4];
      for (int u = 0; u < UNITS; ++u) for (int g = 0; g < 4; ++g) sum[u][g] = 0;
      for (i64 k = split * part; k < end; ++k) {
        A value = mg_load(h + k * n + j);
        for (int u = 0; u < UNITS; ++u) {
          mg_quad w = weights[k * J + unit + u];
          for (int g = 0; g < 4; ++g) sum[u][g] += w.g[g] * value;
        }
      }
      for (int u = 0; u < UNITS; ++u)
        for (int g = 0; g < 4; ++g) sums[(split * J + unit + u) * many + j].g[g] = sum[u][g];
    }
  }
}

// projected (4H, ·): W x + b, the column of step s is first + s · stride; gates g o f i, halved as in
// gates.cu. U (4H, H). state (2, H, n): h before in the first, then in turns. blocks (steps + 1, 6, H,
// n) as in gates.cu, the first c is there. out: the rows first + s · stride. meet: one zero. J is a
// multiple of UNITS.
__device__ __forceinline__ void mg_forward(
    const T* projected, i64 projected_row, const T* U, T* state, T* blocks, T* out, i64 out_row,
    i64 first, i64 stride, i64 steps, i64 H, i64 n, i64 J, i64 splits, unsigned* meet,
    i64 part, i64 begin, i64 many) {
  MG_SHARED(mg_quad, weights);  // (H, J), then the sums (splits, J, many)
  mg_quad* sums = weights + H * J;
  const i64 plane = H * n, low = part * J, mine = low >= H ? 0 : low + J < H ? J : H - low;
  for (i64 e = threadIdx.x; e < H * J; e += blockDim.x) {
    i64 k = e / J, unit = e % J;
    for (int g = 0; g < 4; ++g)
      weights[e].g[g] = unit < mine ? A(U[(g * H + low + unit) * H + k]) : A(0);
  }
  __syncthreads();
  for (i64 step = 0; step < steps; ++step) {
    T* now = state + ((step + 1) % 2) * plane;
    T* block = blocks + step * 6 * plane;
    mg_products(weights, sums, state + (step % 2) * plane + begin, H, n, many, J, splits);
    __syncthreads();
    i64 column = first + step * stride + begin;
    for (i64 e = threadIdx.x; e < mine * many; e += blockDim.x) {
      i64 unit = e / many, j = e % many, k = low + unit, at = k * n + begin + j;
      A x[4];
      for (int g = 0; g < 4; ++g) x[g] = projected[(g * H + k) * projected_row + column + j];
      for (i64 s = 0; s < splits; ++s)
        for (int g = 0; g < 4; ++g) x[g] += sums[(s * J + unit) * many + j].g[g];
      A g = tanh(x[0]), o = mg_sigmoid(x[1]), f = mg_sigmoid(x[2]), i = mg_sigmoid(x[3]);
      A c = f * A(block[plane + at]) + i * g, squashed = tanh(c);
      block[at] = squashed; block[2 * plane + at] = g; block[3 * plane + at] = o;
      block[4 * plane + at] = f; block[5 * plane + at] = i;
      block[7 * plane + at] = c;  // of the next step's block
      now[at] = out[(column + j) * out_row + k] = o * squashed;
    }
    if (mg_meet(meet)) continue;
    for (i64 e = threadIdx.x; e < mine * steps * n; e += blockDim.x)  // nobody takes it for a result
      out[e / mine * out_row + low + e % mine] = MG_NAN;
    return;
  }
}

extern "C" __global__ void lstm_persistent(
    const T* projected, i64 projected_row, const T* U, T* state, T* blocks, T* out, i64 out_row,
    i64 first, i64 stride, i64 steps, i64 H, i64 n, i64 J, i64 splits, unsigned* meet) {
  mg_forward(projected, projected_row, U, state, blocks, out, out_row, first, stride, steps, H, n, J,
             splits, meet, blockIdx.x, 0, n);
}

extern "C" __global__ void MG_CLUSTER lstm_cluster(
    const T* projected, i64 projected_row, const T* U, T* state, T* blocks, T* out, i64 out_row,
    i64 first, i64 stride, i64 steps, i64 H, i64 n, i64 J, i64 splits, unsigned* meet) {
  i64 begin = blockIdx.x / 8 * 32;
  mg_forward(projected, projected_row, U, state, blocks, out, out_row, first, stride, steps, H, n, J,
             splits, 0, blockIdx.x % 8, begin, n - begin < 32 ? n - begin : 32);
}

// The same backward, from the last step. V (4H, H) is W_hh, gates i f g o, and d (4, H, ·) their
// gradients, at the columns of the steps. dstate (2, H, n): dh, in turns; carry (H, n): dc ∘ f.
__device__ __forceinline__ void mg_backward(
    const T* V, const T* blocks, const T* dy, i64 dy_row, i64 has_dy, T* dstate, T* carry,
    T* d, i64 d_plane, i64 d_row, i64 first, i64 stride, i64 steps, i64 H, i64 n, i64 J,
    unsigned* meet, i64 part, i64 begin, i64 many) {
  MG_SHARED(A, weights);  // (4H, J): the columns of V of this block's units
  const i64 plane = H * n, low = part * J, mine = low >= H ? 0 : low + J < H ? J : H - low;
  const i64 warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  for (i64 e = threadIdx.x; e < 4 * H * J; e += blockDim.x)
    weights[e] = e % J < mine ? A(V[e / J * H + low + e % J]) : A(0);
  __syncthreads();
  for (i64 step = steps - 1; step >= 0; --step) {
    const T* block = blocks + step * 6 * plane;
    const T* dh = dstate + ((steps - 1 - step) % 2) * plane;
    T* next = dstate + ((steps - step) % 2) * plane;
    i64 column = first + step * stride + begin;
    for (i64 e = threadIdx.x; e < mine * many; e += blockDim.x) {
      i64 j = e % many, k = low + e / many, at = k * n + begin + j;
      A squashed = block[at], before = block[plane + at], g = block[2 * plane + at];
      A o = block[3 * plane + at], f = block[4 * plane + at], i = block[5 * plane + at];
      A dm = dh[at];
      if (has_dy) dm += A(dy[(column + j) * dy_row + k]);
      A dc = A(carry[at]) + dm * o * (1 - squashed * squashed);
      carry[at] = dc * f;
      T* to = d + k * d_row + column + j;
      to[0] = dc * g * i * (1 - i);
      to[d_plane] = dc * before * f * (1 - f);
      to[2 * d_plane] = dc * i * (1 - g * g);
      to[3 * d_plane] = dm * squashed * o * (1 - o);
    }
    if (!mg_meet(meet)) {  // else all of this step's d is there
      for (i64 e = threadIdx.x; e < 4 * mine * steps * n; e += blockDim.x) {
        i64 gate = e / (mine * steps * n), unit = e / (steps * n) % mine;
        d[gate * d_plane + (low + unit) * d_row + e % (steps * n)] = MG_NAN;
      }
      return;
    }
    i64 groups = (many + 31) / 32;
    for (i64 task = warp; task < groups * (J / UNITS); task += warps) {
      i64 unit = task / groups * UNITS, j = task % groups * 32 + lane;
      if (j >= many) continue;
      A sum[UNITS];
      for (int u = 0; u < UNITS; ++u) sum[u] = 0;
      for (i64 gate = 0; gate < 4; ++gate)
        for (i64 k = 0; k < H; ++k) {
          A value = mg_load(d + gate * d_plane + k * d_row + column + j);
          for (int u = 0; u < UNITS; ++u) sum[u] += weights[(gate * H + k) * J + unit + u] * value;
        }
      for (int u = 0; u < UNITS; ++u)
        if (unit + u < mine) next[(low + unit + u) * n + begin + j] = sum[u];
    }
    __syncthreads();  // dh of this block's units is read by this block alone
  }
}

extern "C" __global__ void lstm_persistent_backward(
    const T* V, const T* blocks, const T* dy, i64 dy_row, i64 has_dy, T* dstate, T* carry,
    T* d, i64 d_plane, i64 d_row, i64 first, i64 stride, i64 steps, i64 H, i64 n, i64 J,
    unsigned* meet) {
  mg_backward(V, blocks, dy, dy_row, has_dy, dstate, carry, d, d_plane, d_row, first, stride, steps,
              H, n, J, meet, blockIdx.x, 0, n);
}

extern "C" __global__ void MG_CLUSTER lstm_cluster_backward(
    const T* V, const T* blocks, const T* dy, i64 dy_row, i64 has_dy, T* dstate, T* carry,
    T* d, i64 d_plane, i64 d_row, i64 first, i64 stride, i64 steps, i64 H, i64 n, i64 J,
    unsigned* meet) {
  i64 begin = blockIdx.x / 8 * 32;
  mg_backward(V, blocks, dy, dy_row, has_dy, dstate, carry, d, d_plane, d_row, first, stride, steps,
              H, n, J, 0, blockIdx.x % 8, begin, n - begin < 32 ? n - begin : 32);
}
