// NumPy's random numbers, computed anywhere: Philox4x64-10, whose word w is a function of a key and
// of w. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
//
// at: two words of key, the next word w, whether a 32-bit half is left over, and that half. It lies
// on the device, so a captured graph reads where the stream stands at each launch.
__device__ __forceinline__ void mg_philox(u64 key0, u64 key1, u64 block, u64* c) {
  c[0] = block; c[1] = 0; c[2] = 0; c[3] = 0;
  for (int round = 0; round < 10; ++round) {
    u64 high0 = __umul64hi(0xD2E7470EE14C6C93ull, c[0]), low0 = 0xD2E7470EE14C6C93ull * c[0];
    u64 high1 = __umul64hi(0xCA5A826395121157ull, c[2]), low1 = 0xCA5A826395121157ull * c[2];
    c[0] = high1 ^ c[1] ^ key0; c[1] = low1; c[2] = high0 ^ c[3] ^ key1; c[3] = low0;
    key0 += 0x9E3779B97F4A7C15ull; key1 += 0xBB67AE8584CAA73Bull;
  }
}

__device__ __forceinline__ T mg_draw(unsigned bits, double low, double width, i64 coin) {
  float unit = (float)(bits >> 8) * 5.9604644775390625e-08f;  // 24 bits: [0, 1)
  if (coin) return T(A(unit < (float)low ? width : 0.0));
  return T(__fadd_rn(__fmul_rn(unit, (float)width), (float)low));  // as NumPy rounds: no fused step
}

// 32-bit draws number skip, skip + 1, … of `at`. A thread per block of four words, eight numbers.
// A coin is `width` with probability `low`, else 0.
extern "C" __global__ void draws(
    const u64* at, i64 skip, T* out, double low, double width, i64 coin, i64 count) {
  u64 first = at[2] / 4;
  i64 left = at[3];
  i64 shift = 2 * (i64)(at[2] % 4) + skip - left;  // the half-word of out[0], from `first`
  i64 blocks = (shift + count + 7) / 8;
  if (left && skip == 0 && blockIdx.x == 0 && threadIdx.x == 0)
    out[0] = mg_draw((unsigned)at[4], low, width, coin);
  MG_EACH(b, blocks) {
    u64 c[4];
    mg_philox(at[0], at[1], first + b, c);
    for (int h = 0; h < 8; ++h) {
      i64 i = 8 * b + h - shift;
      if (i < (left && skip == 0) || i >= count) continue;
      out[i] = mg_draw((unsigned)(h % 2 ? c[h / 2] >> 32 : c[h / 2]), low, width, coin);
    }
  }
}

// float64: a word each; leftovers stay.
extern "C" __global__ void draws_double(
    const u64* at, T* out, double low, double width, i64 count) {
  MG_EACH(i, count) {
    u64 c[4], word = at[2] + i;
    mg_philox(at[0], at[1], word / 4, c);
    double unit = (double)(c[word % 4] >> 11) * 1.1102230246251565e-16;  // 53 bits: [0, 1)
    out[i] = T(A(__dadd_rn(__dmul_rn(unit, width), low)));
  }
}

// Where a stream stands, in words that a launch carries: nothing is copied from the host.
extern "C" __global__ void place(u64* at, u64 key0, u64 key1, u64 word, u64 left, u64 half) {
  at[0] = key0; at[1] = key1; at[2] = word; at[3] = left; at[4] = half;
}
