"""What the tests of numbers share: random states and one measure of error."""

import keras
import numpy as np

# How to compile a model for one training step: TensorFlow traces a graph for
# longer than the step takes, JAX compiles each operation of an eager one.
ONE_STEP = {"run_eagerly": keras.backend.backend() == "tensorflow"}


def randomize(model, seed=0):
    """Give every weight a random value, the moving statistics too.

    Kernels are scaled so that the signal neither dies nor explodes on its way
    through a deep network; a classifier's output then really moves.
    """
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(_random_value(rng, weight.name, tuple(weight.shape)))
    return model


def _random_value(rng, name, shape):
    if name == "moving_variance":
        return rng.uniform(0.5, 2.0, shape).astype("float32")
    value = rng.standard_normal(shape, dtype="float32")
    if name == "kernel":
        return value * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
    if name == "gamma":
        return 1 + 0.2 * value
    return 0.3 * value


def settle_statistics(model, images):
    """Give each batch normalization the statistics of its own input.

    In a deep network of random weights the signal then stays alive.
    """
    norms = [x for x in model._flatten_layers() if hasattr(x, "momentum")]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model


def random_images(shape, seed=1):
    """Return float32 images, drawn from a normal distribution."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape, dtype="float32")


def to_array(value):
    """Return a copy of what any backend computed, or holds, in numpy."""
    return np.array(keras.ops.convert_to_numpy(value))


def snapshot(layer):
    """Return copies of all weights: `get_weights` of torch shares memory."""
    return [to_array(weight) for weight in layer.weights]


def assert_equal(actual, expected):
    """Compare to the last bit what a backend computed."""
    np.testing.assert_array_equal(to_array(actual), to_array(expected))


def relative_error(actual, expected):
    """Return the largest difference, as a part of the largest output."""
    actual = to_array(actual).astype("float64")
    expected = to_array(expected).astype("float64")
    assert actual.shape == expected.shape
    assert np.isfinite(expected).all() and np.ptp(expected) > 0
    return np.abs(actual - expected).max() / np.abs(expected).max()


def perturb(weight, relative=0.01):
    """Make one weight larger, by a part of itself."""
    weight.assign(to_array(weight) * (1 + relative))
