// What every kernel of this folder begins with. No header is included, so nvrtc needs none.
//
// T is the element type of arrays, A the type in which is computed: double for double, else float; for
// whole numbers i64, or u64. Arguments that are no arrays are i64 or double, whatever T is. testing/host.h compiles the
// same text with g++: MG_HOST is defined there, and so is what stands in for CUDA's own.
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

#ifndef MG_HOST
__device__ __forceinline__ float mg_half_to_float(unsigned short x) {
  float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x)); return y;
}
__device__ __forceinline__ unsigned short mg_float_to_half(float x) {
  unsigned short y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x)); return y;
}
#define MG_INFINITY __int_as_float(0x7F800000)
#define MG_NAN __int_as_float(0x7FC00000)
#define MG_SHARED(type, name) \
  extern __shared__ __align__(128) double mg_dynamic[]; type* name = (type*)mg_dynamic
// All threads of a grid whose blocks run at the same time. `counter` is zero before the launch.
// False if others have not come for 2^33 cycles, seconds: then no later meeting waits for them.
__device__ __forceinline__ bool mg_grid_sync(unsigned* counter) {
  unsigned now = 0, late = 0x80000000u;
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned old;
    long long begin = clock64();
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
    asm volatile("atom.add.relaxed.gpu.u32 %0, [%1], 1;" : "=r"(old) : "l"(counter) : "memory");
    unsigned target = ((old & ~late) / gridDim.x + 1) * gridDim.x;
    do {
      asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(now) : "l"(counter) : "memory");
      if (clock64() - begin > (1ll << 33)) now = atomicOr(counter, late) | late;
    } while (now < target);
  }
  return !__syncthreads_or(now & late);
}
// The blocks of a cluster, which share their fate: from sm_90 on.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define MG_CLUSTER __cluster_dims__(8, 1, 1)
__device__ __forceinline__ bool mg_cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  return true;
}
#else
#define MG_CLUSTER
__device__ __forceinline__ bool mg_cluster_sync() { __trap(); return false; }  // is not launched there
#endif
#endif

struct half_t {
  unsigned short bits;
  __device__ half_t() {}
  __device__ half_t(float x) : bits(mg_float_to_half(x)) {}
  __device__ operator float() const { return mg_half_to_float(bits); }
};

struct bfloat_t {  // float32 without its lower 16 bits, rounded to even
  unsigned short bits;
  __device__ bfloat_t() {}
  __device__ bfloat_t(float x) {
    union { float f; unsigned u; } w; w.f = x;
    bits = x != x ? 0x7FC0 : (unsigned short)((w.u + 0x7FFF + ((w.u >> 16) & 1)) >> 16);
  }
  __device__ operator float() const {
    union { float f; unsigned u; } w; w.u = (unsigned)bits << 16; return w.f;
  }
};

#ifndef MG_T
#define MG_T float
#endif
#ifndef MG_A
#define MG_A float
#endif
typedef MG_T T;
typedef MG_A A;

#define MG_EACH(i, count) \
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (i64)gridDim.x * blockDim.x)

__device__ __forceinline__ float mg_sigmoid(float halved) { return 0.5f + 0.5f * tanh(halved); }
__device__ __forceinline__ double mg_sigmoid(double halved) { return 0.5 + 0.5 * tanh(halved); }

// The sum, or the largest, of one value per thread, in every thread; a fixed tree, so the same bits
// each time. `room` is shared memory for blockDim.x values; blockDim.x is a power of two.
__device__ __forceinline__ A mg_block_sum(A value, A* room) {
  room[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half; half /= 2) {
    if (threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
    __syncthreads();
  }
  A total = room[0];
  __syncthreads();
  return total;
}
__device__ __forceinline__ A mg_block_max(A value, A* room) {
  room[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half; half /= 2) {
    if (threadIdx.x < half && room[threadIdx.x + half] > room[threadIdx.x])
      room[threadIdx.x] = room[threadIdx.x + half];
    __syncthreads();
  }
  A most = room[0];
  __syncthreads();
  return most;
}
