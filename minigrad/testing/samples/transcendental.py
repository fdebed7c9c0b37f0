"""Samples of exponentials, trigonometric and hyperbolic functions."""

from __future__ import annotations

import math

import numpy as np

from .sample import Sample, real

A, B = real(3, 4), real(4)
PLUS = real(3, 4, low=0.3, high=3.0)
ERF = np.vectorize(math.erf, otypes=[float])
UNIT = real(3, 4, low=-0.9, high=0.9)

SAMPLES = [
    Sample("exp", (A,), np.exp, torch="exp"),
    Sample("expm1", (A,), np.expm1, torch="expm1"),
    Sample("log", (PLUS,), np.log, torch="log"),
    Sample("log1p", (UNIT,), np.log1p, torch="log1p"),
    Sample("log2", (PLUS,), np.log2, torch="log2"),
    Sample("log10", (PLUS,), np.log10, torch="log10"),
    Sample("logaddexp", (A, B), np.logaddexp, torch="logaddexp"),
    Sample("sin", (A,), np.sin, torch="sin"),
    Sample("cos", (A,), np.cos, torch="cos"),
    Sample("tan", (UNIT,), np.tan, torch="tan"),
    Sample("asin", (UNIT,), np.asin, torch="asin"),
    Sample("acos", (UNIT,), np.acos, torch="acos"),
    Sample("atan", (A,), np.atan, torch="atan"),
    Sample("atan2", (A, PLUS), np.atan2, torch="atan2"),
    Sample("hypot", (A, B), np.hypot, torch="hypot"),
    Sample("sinh", (A,), np.sinh, torch="sinh"),
    Sample("cosh", (A,), np.cosh, torch="cosh"),
    Sample("tanh", (A,), np.tanh, torch="tanh"),
    Sample("asinh", (A,), np.asinh, torch="asinh"),
    Sample("acosh", (real(3, 4, low=1.3, high=3.0),), np.acosh, torch="acosh"),
    Sample("atanh", (UNIT,), np.atanh, torch="atanh"),
    Sample("erf", (A,), ERF, torch="erf"),
    Sample("erf", (real(5, 5, low=-9, high=9),), ERF, label="far"),
]
