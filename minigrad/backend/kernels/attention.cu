// Additive attention without its (B, T, S, A) sums: they are made again where they are needed.
// query (B, T, F), keys (B, S, F), v (F,), scores (B, T, S).

// A block per score, of one warp or more: with a single query, as in a step of a decoder, there are few.
extern "C" __global__ void additive_scores(
    const T* query, const T* keys, const T* v, T* scores, i64 count, i64 steps, i64 places, i64 F) {
  MG_SHARED(A, room);
  for (i64 e = blockIdx.x; e < count; e += gridDim.x) {
    i64 s = e % places, bt = e / places, b = bt / steps;
    const T* q = query + bt * F;
    const T* k = keys + (b * places + s) * F;
    A sum = 0;
    for (i64 f = threadIdx.x; f < F; f += blockDim.x) sum += A(v[f]) * tanh(A(q[f]) + A(k[f]));
    sum = mg_block_sum(sum, room);
    if (threadIdx.x == 0) scores[e] = sum;
  }
}

// d (B, T, S) by the scores. A thread per (b, t, f): dquery, and this step's part of dv.
extern "C" __global__ void additive_by_query(
    const T* query, const T* keys, const T* v, const T* d, T* dquery, T* parts,
    i64 count, i64 steps, i64 places, i64 F) {
  MG_EACH(e, count) {
    i64 f = e % F, bt = e / F, b = bt / steps;
    A q = query[e], slope = 0, along = 0;
    for (i64 s = 0; s < places; ++s) {
      A y = tanh(q + A(keys[(b * places + s) * F + f])), g = d[bt * places + s];
      slope += g * (1 - y * y);
      along += g * y;
    }
    dquery[e] = slope * A(v[f]);
    parts[e] = along;
  }
}

// A thread per (b, s, f): dkeys.
extern "C" __global__ void additive_by_keys(
    const T* query, const T* keys, const T* v, const T* d, T* dkeys,
    i64 count, i64 steps, i64 places, i64 F) {
  MG_EACH(e, count) {
    i64 f = e % F, bs = e / F, b = bs / places, s = bs % places;
    A k = keys[e], slope = 0;
    for (i64 t = 0; t < steps; ++t) {
      A y = tanh(A(query[(b * steps + t) * F + f]) + k);
      slope += A(d[(b * steps + t) * places + s]) * (1 - y * y);
    }
    dkeys[e] = slope * A(v[f]);
  }
}
