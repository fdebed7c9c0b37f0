// What a step of a recurrent layer does to one hidden unit of one sequence, but for its products:
// for a launch per step (gates.cu) and for one of all steps (persist.cu).
//
// forward gives h. x holds W x + b and u the product U h, a number for each of the GATES of a unit,
// those of sigmoids halved: σ(x) = ½ + ½ tanh(x/2). What the way back needs is put into `block`, SAVED
// numbers that are `plane` apart.
//
// backward takes dh, puts the gradients that weights and inputs need into d, `d_plane` apart, and into
// v those that U passes to the h before; it returns what reaches that without a product.
struct Lstm {  // block: tanh c, c before, g, o, f, i. d and v: i f g o. carry: dc ∘ f
  static const int GATES = 4, SAVED = 6;  // g o f i
  static __device__ A forward(const A* x, const A* u, T* block, T* after, i64 plane, A, i64) {
    A g = tanh(x[0] + u[0]), o = mg_sigmoid(x[1] + u[1]);
    A f = mg_sigmoid(x[2] + u[2]), i = mg_sigmoid(x[3] + u[3]);
    A c = f * A(block[plane]) + i * g, squashed = tanh(c);
    block[0] = squashed; block[2 * plane] = g; block[3 * plane] = o;
    block[4 * plane] = f; block[5 * plane] = i;
    *after = c;
    return o * squashed;
  }
  static __device__ A backward(
      A dh, const T*, const T* block, i64 plane, T* carry, T* d, i64 d_plane, A* v, i64) {
    A squashed = block[0], before = block[plane], g = block[2 * plane];
    A o = block[3 * plane], f = block[4 * plane], i = block[5 * plane];
    A dc = A(*carry) + dh * o * (1 - squashed * squashed);
    *carry = dc * f;
    d[0] = v[0] = dc * g * i * (1 - i);
    d[d_plane] = v[1] = dc * before * f * (1 - f);
    d[2 * d_plane] = v[2] = dc * i * (1 - g * g);
    d[3 * d_plane] = v[3] = dh * squashed * o * (1 - o);
    return 0;
  }
};

struct Gru {  // block: r, z, U h + b' of n, h - n, n. d: n, r, z as the inputs meet them, then v's n
  static const int GATES = 3, SAVED = 5;  // r z n, in v too
  static __device__ A forward(const A* x, const A* u, T* block, T*, i64 plane, A h, i64) {
    A r = mg_sigmoid(x[0] + u[0]), z = mg_sigmoid(x[1] + u[1]);
    A fresh = tanh(r * u[2] + x[2]), change = h - fresh;
    block[0] = r; block[plane] = z; block[2 * plane] = u[2];
    block[3 * plane] = change; block[4 * plane] = fresh;
    return fresh + z * change;
  }
  static __device__ A backward(
      A dh, const T*, const T* block, i64 plane, T*, T* d, i64 d_plane, A* v, i64) {
    A r = block[0], z = block[plane], from_h = block[2 * plane];
    A change = block[3 * plane], fresh = block[4 * plane];
    A through = dh * z, dn = (dh - through) * (1 - fresh * fresh);
    d[0] = dn;
    d[3 * d_plane] = v[2] = dn * r;
    d[d_plane] = v[0] = v[2] * from_h * (1 - r);
    d[2 * d_plane] = v[1] = through * change * (1 - z);
    return through;
  }
};

struct Plain {  // tanh or relu; all that the way back needs is y, the h that was given
  static const int GATES = 1, SAVED = 0;
  static __device__ A forward(const A* x, const A* u, T*, T*, i64, A, i64 relu) {
    A sum = x[0] + u[0];
    return relu ? (sum > 0 || sum != sum ? sum : A(0)) : A(tanh(sum));
  }
  static __device__ A backward(A dh, const T* y, const T*, i64, T*, T* d, i64, A* v, i64 relu) {
    A h = *y;
    d[0] = v[0] = dh * (relu ? A(h > 0) : 1 - h * h);
    return 0;
  }
};
