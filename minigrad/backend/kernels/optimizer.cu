// A whole update in one pass over an arena. The numbers of the step are single elements on the
// device, written before it, so a captured step reads fresh ones. decays: 0 no decay, 1 λ θ is
// added to g, 2 θ is scaled first.

extern "C" __global__ void adam(
    T* p, const T* g, T* m, T* v, T* most, const A* keep1, const A* take1, const A* keep2,
    const A* take2, const A* eps, const A* rate, const A* decay, i64 amsgrad, i64 decays, i64 count) {
  MG_EACH(i, count) {
    A w = p[i], slope = g[i];
    if (decays == 1) slope += w * *decay;
    if (decays == 2) w *= *decay;
    A mean = A(m[i]) * *keep1 + slope * *take1;
    A square = A(v[i]) * *keep2 + slope * slope * *take2;
    m[i] = mean; v[i] = square;
    if (amsgrad) {
      if (A(most[i]) > square) square = most[i];
      most[i] = square;
    }
    p[i] = w - mean / (sqrt(square) + *eps) * *rate;
  }
}

extern "C" __global__ void sgd(
    T* p, const T* g, T* b, const A* momentum, const A* take, const A* rate, const A* decay,
    i64 with_momentum, i64 nesterov, i64 decays, i64 count) {
  MG_EACH(i, count) {
    A slope = g[i];
    if (decays) slope += A(p[i]) * *decay;
    if (with_momentum) {
      A moved = A(b[i]) * *momentum + slope * *take;
      b[i] = moved;
      slope = nesterov ? slope + moved * *momentum : moved;
    }
    p[i] = A(p[i]) - slope * *rate;
  }
}
