// Products on tensor cores, of half_t or bfloat_t, summed in float. A warp multiplies eight rows of
// sixteen weights, in shared memory, with those of 32 sequences, in global memory, and puts the sums
// into shared memory. Rows are `row` apart, a multiple of 8; tiles begin at multiples of 32 bytes.
//
// Which numbers of a tile a thread holds is the hardware's affair; in testing/host.h one holds all.
#ifndef MG_HOST
#define MG_ALL(c, r) c(r[0]), c(r[1]), c(r[2]), c(r[3]), c(r[4]), c(r[5]), c(r[6]), c(r[7])
#define MG_SHAPE ".sync.aligned.row.m8n32k16"

struct mg_left {
  unsigned r[8];  // of bfloat_t, two
  __device__ __forceinline__ void load(const half_t* p, i64 row) {
    asm volatile("wmma.load.a" MG_SHAPE ".shared.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;"
                 : MG_ALL("=r", r) : "l"(__cvta_generic_to_shared(p)), "r"((int)row) : "memory");
  }
  __device__ __forceinline__ void load(const bfloat_t* p, i64 row) {
    asm volatile("wmma.load.a" MG_SHAPE ".shared.bf16 {%0, %1}, [%2], %3;"
                 : "=r"(r[0]), "=r"(r[1])
                 : "l"(__cvta_generic_to_shared(p)), "r"((int)row) : "memory");
  }
};

struct mg_right {
  unsigned r[8];
  __device__ __forceinline__ void load(const half_t* p, i64 row) {
    asm volatile("wmma.load.b" MG_SHAPE ".global.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;"
                 : MG_ALL("=r", r) : "l"(p), "r"((int)row) : "memory");
  }
  __device__ __forceinline__ void load(const bfloat_t* p, i64 row) {
    asm volatile("wmma.load.b" MG_SHAPE ".global.bf16 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;"
                 : MG_ALL("=r", r) : "l"(p), "r"((int)row) : "memory");
  }
};

struct mg_sums {
  float r[8];
  __device__ __forceinline__ mg_sums() { for (int i = 0; i < 8; ++i) r[i] = 0; }
  __device__ __forceinline__ void add(const mg_left& a, const mg_right& b, half_t) {
    asm("wmma.mma.sync.aligned.row.row.m8n32k16.f32.f32 {%0, %1, %2, %3, %4, %5, %6, %7}, "
        "{%8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19, %20, %21, %22, %23}, "
        "{%0, %1, %2, %3, %4, %5, %6, %7};"
        : MG_ALL("+f", r) : MG_ALL("r", a.r), MG_ALL("r", b.r));
  }
  __device__ __forceinline__ void add(const mg_left& a, const mg_right& b, bfloat_t) {
    asm("wmma.mma.sync.aligned.row.row.m8n32k16.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13, %14, %15, %16, %17}, "
        "{%0, %1, %2, %3, %4, %5, %6, %7};"
        : MG_ALL("+f", r) : "r"(a.r[0]), "r"(a.r[1]), MG_ALL("r", b.r));
  }
  __device__ __forceinline__ void store(float* p, i64 row) const {
    asm volatile("wmma.store.d" MG_SHAPE ".shared.f32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8}, %9;"
                 :: "l"(__cvta_generic_to_shared(p)), MG_ALL("f", r), "r"((int)row) : "memory");
  }
};
#endif
