// Products of whole numbers, which no library has: a thread per element, sums modulo 2ⁿ.

// c ← a b, or with `add` c + a b, of S matrices (M, K) and (K, N). Steps are in elements: from one
// matrix of a stack to the next, from row to row, and within a row.
extern "C" __global__ void multiply(
    const T* a, i64 a_stack, i64 a_row, i64 a_step, const T* b, i64 b_stack, i64 b_row, i64 b_step, T* c,
    i64 c_stack, i64 c_row, i64 add, i64 S, i64 M, i64 K, i64 N) {
  MG_EACH(i, S * M * N) {
    i64 s = i / (M * N), m = i / N % M, n = i % N;
    const T* x = a + s * a_stack + m * a_row;
    const T* y = b + s * b_stack + n * b_step;
    T* z = c + s * c_stack + m * c_row + n;
    A sum = add ? A(*z) : A(0);
    for (i64 k = 0; k < K; ++k) sum += A(x[k * a_step]) * A(y[k * b_row]);
    *z = T(sum);
  }
}
