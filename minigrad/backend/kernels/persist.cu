// A whole run of a recurrent layer's steps in one launch: each block owns J hidden units and keeps
// their weights in shared memory, so they are read once. The blocks meet in every step and must run at
// the same time. Either all blocks of the grid share the units (a cooperative launch), or, from sm_90
// on, the eight of a cluster do (MG_CLUSTERS), and each cluster has 32 sequences of its own: few units,
// and a quicker meeting. Source of the idea: Diamos et al., "Persistent RNNs", ICML 2016.
//
// MG_CELL is one of cells.cuh. What blocks tell each other in a step is a matrix of W numbers: h on the
// way forward, the gradients of the gates on the way back; n sequences side by side, in rows of 32s.
// Every block multiplies its weights with all of it. The warps share the sum, `splits` parts of it. That
// what others wrote is there is the meeting's affair: it acquires, so no cache has anything older.
#include "cells.cuh"
#include "tiles.cuh"
typedef MG_CELL Cell;
#ifndef MG_CLUSTERS
#undef MG_CLUSTER
#define MG_CLUSTER
#endif

__device__ __forceinline__ bool mg_meet(unsigned* counter) {
#ifdef MG_CLUSTERS
  return mg_cluster_sync();
#else
  return mg_grid_sync(counter);
#endif
}

// Will be read in the next step: fetched from memory meanwhile.
__device__ __forceinline__ void mg_prefetch(const void* p) {
#ifndef MG_HOST
  asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
#endif
}

struct Share {  // `mine` hidden units from `low` and `many` sequences from `begin` are this block's
  i64 low, mine, begin, many, row;  // row: up to a multiple of 32
  __device__ Share(i64 H, i64 n, i64 J) {
#ifdef MG_CLUSTERS
    low = blockIdx.x % 8 * J;
    begin = blockIdx.x / 8 * 32;
    many = n - begin < 32 ? n - begin : 32;
#else
    low = blockIdx.x * J;
    begin = 0;
    many = n;
#endif
    mine = low >= H ? 0 : low + J < H ? J : H - low;
    row = (many + 31) / 32 * 32;
  }
};

// `rows` rows of `depth` weights in shared memory, then the sums (splits, rows, share.row).
#ifdef MG_TENSOR
typedef MG_TENSOR W;  // what is multiplied on tensor cores
#define PAD 8         // after each row, so that rows lie in different banks
__device__ __forceinline__ W& mg_weight(A* room, i64 rows, i64 depth, i64 m, i64 k) {
  return ((W*)room)[m * (depth + PAD) + k];
}
__device__ __forceinline__ A* mg_sums_after(A* room, i64 rows, i64 depth) {
  return (A*)((W*)room + rows * (depth + PAD));
}

// sums += weights x for HIGH tiles of weights, one below the other from row m on, and from column k on
// DEEP tiles of x, which are all under way at once.
template <int HIGH, int DEEP>
__device__ __forceinline__ void mg_tiles(
    mg_sums* sums, A* room, const W* x, i64 rows, i64 depth, i64 N, i64 m, i64 k) {
  mg_right right[DEEP];
#pragma unroll
  for (int i = 0; i < DEEP; ++i) right[i].load(x + (k + 16 * i) * N, N);
#pragma unroll
  for (int i = 0; i < DEEP; ++i) {
    mg_left left[HIGH];
#pragma unroll
    for (int t = 0; t < HIGH; ++t)
      left[t].load(&mg_weight(room, rows, depth, m + 8 * t, k + 16 * i), depth + PAD);
#pragma unroll
    for (int t = 0; t < HIGH; ++t) sums[t].add(left[t], right[i], W());
  }
}

// sums = weights x, x with `depth` rows that are N apart. A warp takes 32 sequences, HIGH tiles of weights
// and a part of the sum.
template <int HIGH>
__device__ __forceinline__ void mg_rows(
    A* room, const W* x, i64 rows, i64 depth, i64 N, const Share& at, i64 splits) {
  const i64 warp = threadIdx.x / 32, warps = blockDim.x / 32, groups = at.row / 32;
  const i64 part = (depth / 16 + splits - 1) / splits * 16, high = 8 * HIGH;
  for (i64 task = warp; task < groups * splits * (rows / high); task += warps) {
    i64 j = task % groups * 32, split = task / groups % splits, m = task / (groups * splits) * high;
    i64 k = split * part, end = k + part < depth ? k + part : depth;
    mg_sums sums[HIGH];
    for (; k + 64 <= end; k += 64) mg_tiles<HIGH, 4>(sums, room, x + j, rows, depth, N, m, k);
    for (; k < end; k += 16) mg_tiles<HIGH, 1>(sums, room, x + j, rows, depth, N, m, k);
    A* to = mg_sums_after(room, rows, depth) + (split * rows + m) * at.row + j;
#pragma unroll
    for (int t = 0; t < HIGH; ++t) sums[t].store(to + 8 * t * at.row, at.row);
  }
}

__device__ __forceinline__ void mg_products(
    A* room, const W* x, i64 rows, i64 depth, i64 N, const Share& at, i64 splits) {
  if (rows % 32 == 0) mg_rows<4>(room, x, rows, depth, N, at, splits);
  else if (rows % 24 == 0) mg_rows<3>(room, x, rows, depth, N, at, splits);
  else if (rows % 16 == 0) mg_rows<2>(room, x, rows, depth, N, at, splits);
  else mg_rows<1>(room, x, rows, depth, N, at, splits);
}
#else
typedef T W;
template <class V, int COUNT> struct alignas(COUNT * sizeof(V)) mg_words { V of[COUNT]; };
__device__ __forceinline__ A& mg_weight(A* room, i64 rows, i64 depth, i64 m, i64 k) {
  return room[k * rows + m];
}
__device__ __forceinline__ A* mg_sums_after(A* room, i64 rows, i64 depth) {
  return room + rows * depth;
}

// The same without: a warp takes 32 sequences and LANES · ROWS rows of weights, a lane ROWS of them and
// LANES sequences next to each other, with the sums in registers. A number of x serves ROWS products, a
// weight LANES: the more, the less is read for each.
template <int ROWS, int LANES>
__device__ __forceinline__ void mg_rows(
    A* room, const W* x, i64 rows, i64 depth, i64 N, const Share& at, i64 splits) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32, across = 32 / LANES;
  const int low = threadIdx.x % 32 / across * ROWS, lane = threadIdx.x % across * LANES;
  const i64 groups = at.row / 32, part = (depth + splits - 1) / splits, high = LANES * ROWS;
  for (i64 task = warp; task < groups * splits * (rows / high); task += warps) {
    i64 j = task % groups * 32 + lane, split = task / groups % splits;
    i64 m = task / (groups * splits) * high + low, begin = split * part;
    i64 end = begin + part < depth ? begin + part : depth;
    if (j >= at.many) continue;
    A sum[ROWS][LANES];
    for (int r = 0; r < ROWS; ++r) for (int s = 0; s < LANES; ++s) sum[r][s] = 0;
#pragma unroll 4
    for (i64 k = begin; k < end; ++k) {
      mg_words<W, LANES> value = *(const mg_words<W, LANES>*)(x + k * N + j);
      for (int q = 0; q < ROWS; q += 4) {
        mg_words<A, 4> w = *(const mg_words<A, 4>*)&mg_weight(room, rows, depth, m + q, k);
        for (int r = 0; r < 4; ++r)
          for (int s = 0; s < LANES; ++s) sum[q + r][s] += w.of[r] * A(value.of[s]);
      }
    }
    A* to = mg_sums_after(room, rows, depth) + (split * rows + m) * at.row + j;
    for (int r = 0; r < ROWS; ++r) for (int s = 0; s < LANES; ++s) to[r * at.row + s] = sum[r][s];
  }
}

__device__ __forceinline__ void mg_products(
    A* room, const W* x, i64 rows, i64 depth, i64 N, const Share& at, i64 splits) {
  if (rows % 32 == 0) mg_rows<8, 4>(room, x, rows, depth, N, at, splits);
  else if (rows % 16 == 0) mg_rows<4, 4>(room, x, rows, depth, N, at, splits);
  else if (rows % 24 == 0) mg_rows<12, 2>(room, x, rows, depth, N, at, splits);
  else if (rows % 8 == 0) mg_rows<4, 2>(room, x, rows, depth, N, at, splits);
  else mg_rows<4, 1>(room, x, rows, depth, N, at, splits);
}
#endif

// The parts of a sum, of row m and this block's sequence j.
__device__ __forceinline__ A mg_sum(const A* sums, i64 rows, i64 m, i64 j, const Share& at, i64 splits) {
  A sum = 0;
  for (i64 s = 0; s < splits; ++s) sum += sums[(s * rows + m) * at.row + j];
  return sum;
}

// projected (G H, ·): W x + b, the column of step s is first + s · stride. U (G H, H), or with b' as
// another column. hidden (H, n): h before and then after. told (2, H, N): what blocks tell, in turns.
// blocks (turns, SAVED, H, n): a step takes the next one, of an LSTM it holds the c before. out: the
// rows first + s · stride. meet: one zero. J is a multiple of 4, on tensor cores of 8, and H of 16.
extern "C" __global__ void MG_CLUSTER recurrent_forward(
    const T* projected, i64 projected_row, const T* U, i64 U_row, T* hidden, W* told, T* blocks,
    i64 turns, T* out, i64 out_row, i64 first, i64 stride, i64 steps, i64 H, i64 n, i64 J, i64 splits,
    i64 relu, unsigned* meet) {
  MG_SHARED(A, room);
  const Share at(H, n, J);
  const int G = Cell::GATES, many = at.many, count = at.mine * at.many;
  const i64 rows = G * J, N = (n + 31) / 32 * 32, plane = H * n;
  const A* sums = mg_sums_after(room, rows, H);
  for (int e = threadIdx.x; e < rows * H; e += blockDim.x) {
    int m = e / int(H), k = e % int(H), gate = m / int(J), unit = m % int(J);
    A weight = unit < at.mine ? A(U[(gate * H + at.low + unit) * U_row + k]) : A(0);
    mg_weight(room, rows, H, m, k) = weight;
  }
  for (int e = threadIdx.x; e < count; e += blockDim.x) {
    i64 k = at.low + e / many, j = at.begin + e % many;
    told[k * N + j] = A(hidden[k * n + j]);
  }
  bool together = mg_meet(meet);
  for (i64 step = 0; step < steps && together; ++step) {
    const W* before = told + step % 2 * H * N + at.begin;
    mg_products(room, before, rows, H, N, at, splits);
    __syncthreads();
    T* block = blocks + step % turns * Cell::SAVED * plane;
    T* next = blocks + (step + 1) % turns * Cell::SAVED * plane + plane;  // its c before
    const i64 column = first + step * stride + at.begin;
    for (int e = threadIdx.x; e < count; e += blockDim.x) {
      int unit = e / many, j = e % many;
      i64 k = at.low + unit, place = k * n + at.begin + j;
      A x[G], u[G];
      for (int g = 0; g < G; ++g) {
        const T* from = projected + (g * H + k) * projected_row + column + j;
        x[g] = *from;
        if (step + 1 < steps) mg_prefetch(from + stride);
        u[g] = mg_sum(sums, rows, g * J + unit, j, at, splits);
        if (U_row > H) u[g] += A(U[(g * H + k) * U_row + H]);
      }
      A h = Cell::forward(x, u, block + place, next + place, plane, hidden[place], relu);
      hidden[place] = out[(column + j) * out_row + k] = h;
      told[((step + 1) % 2 * H + k) * N + at.begin + j] = h;
    }
    together = mg_meet(meet);
  }
  if (together) return;
  for (i64 e = threadIdx.x; e < at.mine * steps * n; e += blockDim.x)  // nobody takes it for a result
    out[e / at.mine * out_row + at.low + e % at.mine] = MG_NAN;
}

// The same backward, from the last step. V (G H, H) is W_hh, and d (·, H, ·) what the cell leaves there,
// at the columns of the steps. y: the rows of outputs. dy: the same of their gradients, or has_dy = 0.
// dh (H, n) and carry: after the last step, then before the first. told (2, G H, N).
extern "C" __global__ void MG_CLUSTER recurrent_backward(
    const T* V, const T* blocks, const T* y, i64 y_row, const T* dy, i64 dy_row, i64 has_dy, T* dh,
    T* carry, W* told, T* d, i64 d_planes, i64 d_plane, i64 d_row, i64 first, i64 stride, i64 steps,
    i64 H, i64 n, i64 J, i64 splits, i64 relu, unsigned* meet) {
  MG_SHARED(A, room);
  const Share at(H, n, J);
  const int G = Cell::GATES, many = at.many, count = at.mine * at.many;
  const i64 depth = G * H, N = (n + 31) / 32 * 32, plane = H * n;
  const A* sums = mg_sums_after(room, J, depth);
  for (int e = threadIdx.x; e < depth * J; e += blockDim.x) {
    int k = e / int(J), unit = e % int(J);
    mg_weight(room, J, depth, unit, k) = unit < at.mine ? A(V[k * H + at.low + unit]) : A(0);
  }
  bool together = true;
  for (i64 step = steps - 1; step >= 0 && together; --step) {
    const T* block = blocks + step * Cell::SAVED * plane;
    W* now = told + step % 2 * depth * N + at.begin;
    const i64 column = first + step * stride + at.begin;
    for (int e = threadIdx.x; e < count; e += blockDim.x) {
      int unit = e / many, j = e % many;
      i64 k = at.low + unit, place = k * n + at.begin + j;
      A v[G], sum = dh[place];
      if (step + 1 < steps) sum += mg_sum(sums, J, unit, j, at, splits);
      if (has_dy) sum += A(dy[(column + j) * dy_row + k]);
      dh[place] = Cell::backward(sum, y + (column + j) * y_row + k, block + place, plane, carry + place,
                                 d + k * d_row + column + j, d_plane, v, relu);
      for (int g = 0; g < G; ++g) now[(g * H + k) * N + j] = v[g];
      if (step == 0) continue;
      for (int s = 0; s < Cell::SAVED; ++s) mg_prefetch(block + place + (s - Cell::SAVED) * plane);
      if (has_dy) mg_prefetch(dy + (column - stride + j) * dy_row + k);
    }
    together = mg_meet(meet);
    mg_products(room, now, J, depth, N, at, splits);
    __syncthreads();
  }
  for (int e = threadIdx.x; e < count; e += blockDim.x) {
    int unit = e / many, j = e % many;
    T& mine = dh[(at.low + unit) * n + at.begin + j];
    mine = A(mine) + mg_sum(sums, J, unit, j, at, splits);
  }
  if (together) return;
  for (i64 e = threadIdx.x; e < d_planes * at.mine * steps * n; e += blockDim.x) {
    i64 each = e / (at.mine * steps * n), unit = e / (steps * n) % at.mine;
    d[each * d_plane + (at.low + unit) * d_row + e % (steps * n)] = MG_NAN;
  }
}
