// Rows reduced by id, always in the same order: sums are the gradient of a table of embeddings.
//
// keys (N,): the ids, sorted; order (N,) sorted them, stably. Equal keys are a run. A run is reduced in
// the order of occurrence, in parts of PART rows that are joined afterwards, so a frequent id keeps
// many blocks busy. No id is known to the host, so nothing waits. `how`: 0 sums, 1 finds the largest,
// -1 the least. `result` is what was there before, and takes part.
#define PART 256

// keys and order of a few thousand ids in one launch: the place of each is the number of those before
// it. A block has 32 ids, which each of its warps compares with a part of all.
extern "C" __global__ void sort_keys(const i64* ids, i64* keys, i64* order, i64 N) {
  MG_SHARED(i64, room);
  i64 mine = (i64)blockIdx.x * 32 + threadIdx.x % 32, part = threadIdx.x / 32, parts = blockDim.x / 32;
  i64 id = mine < N ? ids[mine] : 0, before = 0;
  for (i64 n = part; n < N; n += parts) {
    i64 other = ids[n];
    before += other < id || (other == id && n < mine);
  }
  room[threadIdx.x] = before;
  __syncthreads();
  if (part > 0 || mine >= N) return;
  for (i64 p = 1; p < parts; ++p) before += room[32 * p + threadIdx.x];
  keys[before] = id; order[before] = mine;
}

__device__ __forceinline__ A mg_meet(A a, A b, i64 how) {
  if (how == 0) return a + b;
  return (how > 0 ? b > a : b < a) || b != b ? b : a;
}

// The first place of [low, high) whose key is `key` or more.
__device__ __forceinline__ i64 mg_place(const i64* keys, i64 low, i64 high, i64 key) {
  while (low < high) {
    i64 middle = (low + high) / 2;
    if (keys[middle] < key) low = middle + 1; else high = middle;
  }
  return low;
}

// Where the part that begins at `place` waits, reduced. Of PART places next to each other, one at
// most begins a run of several parts, and one at most continues one.
__device__ __forceinline__ i64 mg_slot(i64 place, bool begins) { return place / PART * 2 + begins; }

// A block per place, which reduces the part that begins there, if one does: into `result`, or if its
// run has more of them into `parts`.
extern "C" __global__ void reduce_parts(
    const i64* keys, const i64* order, const T* rows, i64 rows_row, T* result, A* parts, i64 N, i64 E,
    i64 skip, i64 how) {
  i64 place = blockIdx.x, id = keys[place], begin = place;
  if (id == skip) return;
  if (place > 0 && keys[place - 1] == id) {
    if (place < PART || keys[place - PART] != id) return;
    begin = mg_place(keys, 0, place, id);
    if ((place - begin) % PART) return;
  }
  i64 end = mg_place(keys, place, place + PART < N ? place + PART : N, id + 1);
  bool all = place == begin && (end == N || keys[end] != id);
  for (i64 e = threadIdx.x; e < E; e += blockDim.x) {
    A found = rows[order[place] * rows_row + e];
    for (i64 at = place + 1; at < end; ++at) found = mg_meet(found, rows[order[at] * rows_row + e], how);
    if (all) result[id * E + e] = mg_meet(result[id * E + e], found, how);
    else parts[mg_slot(place, place == begin) * E + e] = found;
  }
}

// A block per PART places: joins the parts of the run of several that begins there, if one does. It
// then reaches beyond the last of them.
extern "C" __global__ void join_parts(
    const i64* keys, const A* parts, T* result, i64 N, i64 E, i64 skip, i64 how) {
  i64 first = (i64)blockIdx.x * PART, last = first + PART - 1;
  if (last >= N) return;
  i64 id = keys[last], begin = mg_place(keys, first, last, id);
  if (id == skip || begin + PART >= N || keys[begin + PART] != id) return;
  if (begin == first && first > 0 && keys[first - 1] == id) return;
  i64 end = mg_place(keys, begin, N, id + 1);
  for (i64 e = threadIdx.x; e < E; e += blockDim.x) {
    A found = parts[mg_slot(begin, true) * E + e];
    for (i64 at = begin + PART; at < end; at += PART)
      found = mg_meet(found, parts[mg_slot(at, false) * E + e], how);
    result[id * E + e] = mg_meet(result[id * E + e], found, how);
  }
}
