"""Layers, with PyTorch's names, arguments, parameter names and initialisation."""

from . import functional, init
from .activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .alias import AliasSampler
from .attention import (
    AdditiveAttention,
    LuongAttention,
    ScaledDotProductAttention,
    lengths_to_mask,
)
from .bidirectional import Bidirectional
from .cell_rnn import CellRNN
from .cells import GRUCell, LSTMCell, RNNCell
from .containers import ModuleList, Sequential
from .convolution import Conv1d, Conv2d
from .crf import CRF
from .dropout import Dropout
from .dropout_kinds import Dropout1d, Dropout2d, LockedDropout
from .embedding import Embedding
from .embedding_bag import EmbeddingBag
from .hierarchical import HierarchicalSoftmax
from .linear import Identity, Linear
from .loss import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
)
from .lstm_cells import LayerNormLSTMCell, PeepholeLSTMCell
from .module import Module, Parameter
from .multihead import MultiheadAttention
from .normalization import LayerNorm
from .norms import BatchNorm1d, BatchNorm2d, GroupNorm, RMSNorm
from .pooling import AdaptiveAvgPool1d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
from .positions import LearnedPositionalEmbedding, RotaryEmbedding, SinusoidalPositionalEncoding
from .ranking import (
    CosineEmbeddingLoss,
    CTCLoss,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiMarginLoss,
    PoissonNLLLoss,
    SoftMarginLoss,
    TripletMarginLoss,
)
from .recurrent import GRU, LSTM, RNN
from .sampled import GloVeLoss, NCELoss, NegativeSampling, SampledSoftmax
from .stateless import functional_call
from .transformer import Transformer, TransformerDecoder, TransformerEncoder
from .transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer
from .weight_drop import WeightDrop

__all__ = [
    "CRF",
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool1d",
    "AdditiveAttention",
    "AliasSampler",
    "AvgPool1d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Bidirectional",
    "CTCLoss",
    "CellRNN",
    "Conv1d",
    "Conv2d",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Embedding",
    "EmbeddingBag",
    "GRUCell",
    "GaussianNLLLoss",
    "GloVeLoss",
    "GroupNorm",
    "HierarchicalSoftmax",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LSTMCell",
    "LayerNorm",
    "LayerNormLSTMCell",
    "LeakyReLU",
    "LearnedPositionalEmbedding",
    "Linear",
    "LockedDropout",
    "LogSoftmax",
    "LuongAttention",
    "MSELoss",
    "MarginRankingLoss",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "MultiMarginLoss",
    "MultiheadAttention",
    "NCELoss",
    "NLLLoss",
    "NegativeSampling",
    "Parameter",
    "PeepholeLSTMCell",
    "PoissonNLLLoss",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "RotaryEmbedding",
    "SampledSoftmax",
    "ScaledDotProductAttention",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SinusoidalPositionalEncoding",
    "SoftMarginLoss",
    "Softmax",
    "Softplus",
    "Tanh",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "TripletMarginLoss",
    "WeightDrop",
    "functional",
    "functional_call",
    "init",
    "lengths_to_mask",
]
