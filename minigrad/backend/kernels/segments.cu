// Rows summed by id, always in the order in which they occur: the gradient of a table of embeddings.

// order (N,) sorts ids stably. A block per place in that order; the first of each run of equal ids
// sums the run. No id is known to the host, so nothing waits.
extern "C" __global__ void sum_rows(
    const i64* ids, const i64* order, const T* rows, i64 rows_row, T* sums, i64 N, i64 E, i64 skip) {
  i64 place = blockIdx.x, id = ids[order[place]];
  if (id == skip || (place > 0 && ids[order[place - 1]] == id)) return;
  i64 end = place + 1;
  while (end < N && ids[order[end]] == id) ++end;
  for (i64 e = threadIdx.x; e < E; e += blockDim.x) {
    A sum = 0;
    for (i64 at = place; at < end; ++at) sum += A(rows[order[at] * rows_row + e]);
    sums[id * E + e] = sum;
  }
}
