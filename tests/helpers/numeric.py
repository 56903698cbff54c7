"""Random weights and images, and the error measure of numerical tests."""

import keras
import numpy as np

# float64 rounds at 1e-16 and float32 at 6e-8. Sums of a few hundred terms were
# measured within 1e-15 and 5e-7 of the largest output; the rest is headroom
# for processors that add in another order.
FLOAT32_TOLERANCE = 6e-6
# Under JAX and torch, batch normalization of Keras computes in float32 under
# any dtype policy: `keras.backend.result_type("float64", "float32")`.
FLOAT64_TOLERANCE = (
    1e-13 if keras.backend.backend() == "tensorflow" else FLOAT32_TOLERANCE
)
# Options of `compile` for one training step: under TensorFlow tracing a graph
# takes longer than the step, under JAX an eager step compiles each operation.
ONE_STEP = {"run_eagerly": keras.backend.backend() == "tensorflow"}


def randomize(model, seed=0):
    """Assign a random value to every weight and moving statistic.

    Kernels are scaled so that activations neither vanish nor explode in a
    deep network, and a classifier's output depends on its input.
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
    """Set the statistics of each batch normalization to those of its input.

    This keeps the activations of a deep network with random weights in range.
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
    """Return float32 images drawn from a normal distribution."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape, dtype="float32")


def to_array(value):
    """Return a numpy copy of a tensor or variable of any backend."""
    return np.array(keras.ops.convert_to_numpy(value))


def snapshot(layer):
    """Return copies of all weights; under torch `get_weights` shares memory."""
    return [to_array(weight) for weight in layer.weights]


def assert_equal(actual, expected):
    """Assert that two tensors are equal to the last bit.

    Use it for weights, and for outputs of the same operations called in the
    same way in one process. Outputs of differently compiled programs may
    differ by rounding on some processors: compare their `relative_error`.
    """
    np.testing.assert_array_equal(to_array(actual), to_array(expected))


def relative_error(actual, expected):
    """Return the largest difference divided by the largest expected value."""
    actual = to_array(actual).astype("float64")
    expected = to_array(expected).astype("float64")
    assert actual.shape == expected.shape
    assert np.isfinite(expected).all() and np.ptp(expected) > 0
    return np.abs(actual - expected).max() / np.abs(expected).max()


def perturb(weight, relative=0.01):
    """Multiply a weight by `1 + relative`."""
    weight.assign(to_array(weight) * (1 + relative))


def check_equal(model, images, expected, tolerance, weight):
    """Assert that outputs are as expected, and only with this weight."""
    assert relative_error(model(images), expected) < tolerance
    perturb(weight)
    assert relative_error(model(images), expected) > tolerance
