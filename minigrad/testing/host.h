// CUDA's words for g++: a kernel's text runs on the CPU, one std::thread per CUDA thread of a block.
#define MG_HOST
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>
using std::exp, std::log, std::sqrt, std::tanh;
struct mg_index { unsigned x = 0; };
struct mg_block { std::vector<double> shared; std::unique_ptr<std::barrier<>> meet; };
static thread_local mg_index threadIdx, blockIdx;
static mg_index blockDim, gridDim;
static thread_local mg_block* mg_here = nullptr;
static std::barrier<>* mg_everyone = nullptr;
static std::vector<std::unique_ptr<std::barrier<>>> mg_clusters;  // eight blocks each
#define __global__
#define __device__
#define __forceinline__ inline
#define MG_CLUSTER
#define MG_INFINITY INFINITY
#define MG_NAN NAN
#define MG_SHARED(type, name) type* name = (type*)mg_here->shared.data()
#ifdef MG_NO_BARRIER  // a fault on purpose: the thread sanitizer must see it
static inline void __syncthreads() {}
static inline bool mg_grid_sync(unsigned*) { return true; }
static inline bool mg_cluster_sync() { return true; }
#else
static inline void __syncthreads() { mg_here->meet->arrive_and_wait(); }
static inline bool mg_grid_sync(unsigned* counter) {  // a counter of 7 stands for blocks that never come
  if (*counter == 7) { mg_here->meet->arrive_and_wait(); return false; }
  mg_everyone->arrive_and_wait();
  return true;
}
static inline bool mg_cluster_sync() {
  mg_clusters[blockIdx.x / 8]->arrive_and_wait();
  return true;
}
#endif
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline float mg_half_to_float(unsigned short bits) {
  _Float16 x; std::memcpy(&x, &bits, 2); return (float)x;
}
static inline unsigned short mg_float_to_half(float x) {
  _Float16 y = (_Float16)x; unsigned short bits; std::memcpy(&bits, &y, 2); return bits;
}

// Tiles of tensor cores, as in tiles.cuh: the first thread of a warp has all of them.
static inline bool mg_first() { return threadIdx.x % 32 == 0; }
struct mg_left {
  float at[8][16];
  template <class V> void load(const V* p, long long row) {
    for (int m = 0; m < 8 && mg_first(); ++m) for (int k = 0; k < 16; ++k) at[m][k] = p[m * row + k];
  }
};
struct mg_right {
  float at[16][32];
  template <class V> void load(const V* p, long long row) {
    for (int k = 0; k < 16 && mg_first(); ++k) for (int j = 0; j < 32; ++j) at[k][j] = p[k * row + j];
  }
};
struct mg_sums {
  float at[8][32] = {};
  template <class V> void add(const mg_left& a, const mg_right& b, V) {
    for (int m = 0; m < 8 && mg_first(); ++m) for (int k = 0; k < 16; ++k)
      for (int j = 0; j < 32; ++j) at[m][j] += a.at[m][k] * b.at[k][j];
  }
  void store(float* p, long long row) const {
    for (int m = 0; m < 8 && mg_first(); ++m) std::memcpy(p + m * row, at[m], 128);
  }
};

// Kernels without barriers: the threads one after the other.
template <class K, class... Args>
static void mg_run_in_turn(unsigned grid, unsigned block, K kernel, Args... args) {
  gridDim.x = grid; blockDim.x = block;
  for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
    for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) kernel(args...);
}
// With barriers: the threads of a block at once; of all blocks if the launch is cooperative.
template <class K, class... Args>
static void mg_run_at_once(
    unsigned grid, unsigned block, size_t shared, bool cooperative, K kernel, Args... args) {
  gridDim.x = grid; blockDim.x = block;
  std::barrier<> everyone(grid * block);
  mg_everyone = &everyone;
  mg_clusters.clear();
  for (unsigned c = 0; c < grid / 8; ++c)
    mg_clusters.push_back(std::make_unique<std::barrier<>>(8 * block));
  for (unsigned first = 0; first < grid; first += cooperative ? grid : 1) {
    unsigned last = cooperative ? grid : first + 1;
    std::vector<mg_block> blocks(last - first);
    std::vector<std::thread> threads;
    for (auto& each : blocks) {
      each.shared.assign((shared + 7) / 8, NAN);  // what it holds at first is nobody's
      each.shared.resize(each.shared.size() + 64, 7);  // and what lies behind stays as it is
      each.meet = std::make_unique<std::barrier<>>(block);
    }
    for (unsigned b = first; b < last; ++b)
      for (unsigned t = 0; t < block; ++t)
        threads.emplace_back([&, b, t] {
          blockIdx.x = b; threadIdx.x = t; mg_here = &blocks[b - first];
          kernel(args...);
        });
    for (auto& each : threads) each.join();
    for (auto& each : blocks)
      for (size_t i = (shared + 7) / 8; i < each.shared.size(); ++i)
        if (each.shared[i] != 7) std::fputs("a write past the shared memory\n", stderr), std::abort();
  }
}
