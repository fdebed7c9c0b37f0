"""The public functions, named and called as the Python Array API standard has them."""

# ruff: noqa: F401
# Names are public through the `__all__` of the module that defines them.

from __future__ import annotations

from . import (
    activation,
    adaptive_pooling,
    alignment,
    attention,
    bag,
    broadcasting,
    choosing,
    classification,
    comparison,
    contraction,
    conversion,
    convolution,
    creation,
    crf,
    ctc,
    decompositions,
    dense,
    dtypes,
    elementwise,
    fused_sums,
    gathering,
    indexing,
    interop,
    joining,
    linalg,
    lookup,
    loss,
    multilabel,
    namespace,
    normalization,
    norms,
    numpy_functions,
    padding,
    parts,
    placing,
    pooling,
    quantiles,
    random,
    ranking,
    rectifiers,
    reduction,
    regression,
    scan,
    scattering,
    shape,
    solving,
    sorting,
    special,
    transcendental,
    transposed,
    windows,
)
from .activation import (
    dropout,
    elu,
    gelu,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
)
from .adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    lp_pool1d,
    lp_pool2d,
)
from .alignment import additive_attention
from .attention import masked_softmax, scaled_dot_product_attention
from .bag import embedding_bag
from .broadcasting import broadcast_to, sum_to
from .classification import cross_entropy
from .comparison import (
    allclose,
    array_equal,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    signbit,
)
from .contraction import einsum
from .conversion import asarray, from_dlpack, from_numpy, tensor
from .convolution import conv1d, conv2d
from .creation import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from .crf import crf_log_likelihood, crf_log_partition, viterbi
from .ctc import ctc_loss
from .dense import linear
from .dtypes import (
    bool,
    can_cast,
    e,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    inf,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    nan,
    newaxis,
    pi,
    result_type,
    set_default_dtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .elementwise import (
    abs,
    add,
    ceil,
    clip,
    copysign,
    divide,
    floor,
    floor_divide,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    positive,
    pow,
    reciprocal,
    remainder,
    round,
    sign,
    sqrt,
    square,
    subtract,
    trunc,
    where,
)
from .fused_sums import (
    addbmm,
    addcdiv,
    addcmul,
    addmm,
    addmv,
    addr,
    baddbmm,
)
from .gathering import masked_fill, nonzero, put, take, take_along_axis
from .indexing import getitem, setitem
from .interop import astype, copy, to_device
from .joining import chunk, concat, split, stack, unstack
from .linalg import matmul, outer, tensordot, trace, vecdot, vector_norm
from .lookup import embedding, one_hot
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    kl_div,
    nll_loss,
)
from .multilabel import (
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    triplet_margin_with_distance_loss,
)
from .namespace import __array_api_version__, __array_namespace_info__
from .normalization import layer_norm
from .norms import batch_norm, group_norm, rms_norm
from .padding import pad
from .parts import conj, imag, real
from .placing import (
    index_add,
    index_copy,
    index_fill,
    lerp,
    logcumsumexp,
)
from .pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from .quantiles import (
    median,
    quantile,
)
from .random import bernoulli, normal, rand, randint, randn, randperm, uniform
from .ranking import (
    cosine_embedding_loss,
    cosine_similarity,
    gaussian_nll_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    pairwise_distance,
    poisson_nll_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from .rectifiers import (
    celu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    logsigmoid,
    mish,
    prelu,
    relu6,
    rrelu,
    selu,
    softmin,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from .reduction import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from .regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from .scan import cumulative_prod, cumulative_sum, diff
from .scattering import gather, scatter, scatter_add
from .shape import (
    broadcast_arrays,
    diag,
    diagonal,
    expand_dims,
    flatten,
    flip,
    matrix_transpose,
    moveaxis,
    permute_dims,
    repeat,
    reshape,
    roll,
    squeeze,
    tile,
)
from .sorting import (
    argsort,
    searchsorted,
    sort,
    topk,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)
from .special import erf
from .transcendental import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    exp,
    expm1,
    hypot,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    sin,
    sinh,
    tan,
    tanh,
)
from .transposed import (
    col2im,
    conv_transpose1d,
    conv_transpose2d,
    im2col,
)
from .windows import fold, unfold

__all__: list[str] = []
__all__ += activation.__all__
__all__ += adaptive_pooling.__all__
__all__ += alignment.__all__
__all__ += attention.__all__
__all__ += bag.__all__
__all__ += broadcasting.__all__
__all__ += classification.__all__
__all__ += comparison.__all__
__all__ += contraction.__all__
__all__ += conversion.__all__
__all__ += convolution.__all__
__all__ += creation.__all__
__all__ += crf.__all__
__all__ += ctc.__all__
__all__ += dense.__all__
__all__ += dtypes.__all__
__all__ += elementwise.__all__
__all__ += fused_sums.__all__
__all__ += gathering.__all__
__all__ += indexing.__all__
__all__ += interop.__all__
__all__ += joining.__all__
__all__ += linalg.__all__
__all__ += lookup.__all__
__all__ += loss.__all__
__all__ += multilabel.__all__
__all__ += namespace.__all__
__all__ += normalization.__all__
__all__ += norms.__all__
__all__ += parts.__all__
__all__ += padding.__all__
__all__ += placing.__all__
__all__ += pooling.__all__
__all__ += quantiles.__all__
__all__ += random.__all__
__all__ += ranking.__all__
__all__ += rectifiers.__all__
__all__ += reduction.__all__
__all__ += regression.__all__
__all__ += scan.__all__
__all__ += scattering.__all__
__all__ += shape.__all__
__all__ += sorting.__all__
__all__ += special.__all__
__all__ += transcendental.__all__
__all__ += transposed.__all__
__all__ += windows.__all__
