"""Weights and inputs from a formula, the same bits as in C: synthetic.h says how and why."""
import math

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def fnv1a(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return np.uint64(value)


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fill(shape, name, scale, shift=0.0):
    """float32 of this shape, uniform in [shift - scale, shift + scale); scale and shift are rounded to float32."""
    scale, shift = (np.float64(np.float32(value)) for value in (scale, shift))
    out = np.empty(math.prod(shape), np.float32)
    start = fnv1a(name)
    for first in range(0, out.size, 1 << 22):  # in parts, because the temporaries are wider than the result
        part = out[first:first + (1 << 22)]
        z = mix(start + np.arange(first + 1, first + part.size + 1, dtype=np.uint64) * GAMMA)
        u = (z >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1
        part[:] = shift + scale * u
    return out.reshape(shape)


def parameter(name, shape):
    """The parameter or running statistic of this name."""
    if len(shape) > 1:
        return fill(shape, name, math.sqrt(6.0 * shape[0] / math.prod(shape)))
    if name.endswith(".weight"):
        return fill(shape, name, 0.4, 0.8)
    if name.endswith(".running_var"):
        return fill(shape, name, 0.75, 1.25)
    return fill(shape, name, 0.2)
