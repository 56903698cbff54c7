"""Initial weights drawn by numpy under JAX.

JAX compiles one program per weight shape. Drawn by numpy, initial values still
depend on Keras's seeds, and a network is built in a sixth of the time.
"""

import contextlib
from unittest import mock

import keras
import numpy as np


def quick_initial_values():
    """Return a context in which numpy draws the initial values under JAX."""
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    return mock.patch.multiple(
        keras.src.backend.random,
        uniform=_uniform,
        normal=_normal,
        truncated_normal=_truncated_normal,
    )


def _generator(seed):
    seed = keras.src.random.seed_generator.draw_seed(seed)
    return np.random.default_rng(np.asarray(seed))


def _uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    values = _generator(seed).uniform(minval, maxval, shape)
    return keras.ops.convert_to_tensor(values, dtype)


def _normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    values = _generator(seed).normal(mean, stddev, shape)
    return keras.ops.convert_to_tensor(values, dtype)


def _truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Keep values within two standard deviations, as Keras does."""
    values = np.fmod(_generator(seed).standard_normal(shape), 2)
    return keras.ops.convert_to_tensor(mean + stddev * values, dtype)
