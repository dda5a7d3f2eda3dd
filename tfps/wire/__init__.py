"""Codecs: the formats in which parameters and gradients travel between workers and ps."""

from tfps.wire.auto import Auto
from tfps.wire.cast import Cast
from tfps.wire.codec import Codec, Encoded, Identity, Parameter
from tfps.wire.error_feedback import ErrorFeedback
from tfps.wire.int8 import Int8
from tfps.wire.lossless import Lossless
from tfps.wire.momentum_correction import MomentumCorrection, deep_gradient_compression
from tfps.wire.one_bit import OneBit
from tfps.wire.policy import ByName, BySize, CodecPolicy, DenseAndRows, Warmup
from tfps.wire.power_sgd import PowerSGD
from tfps.wire.random_k import RandomK
from tfps.wire.top_k import TopK

__all__ = [
    "Auto",
    "ByName",
    "BySize",
    "Cast",
    "Codec",
    "CodecPolicy",
    "DenseAndRows",
    "Encoded",
    "ErrorFeedback",
    "Identity",
    "Int8",
    "Lossless",
    "MomentumCorrection",
    "OneBit",
    "Parameter",
    "PowerSGD",
    "RandomK",
    "TopK",
    "Warmup",
    "deep_gradient_compression",
]
