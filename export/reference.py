"""The float64 reference: what the model computes, as exactly as can be had."""

import keras
import numpy as np
import tensorflow as tf

from keras_inception_export.errors import RequestError, reason_of
from keras_inception_export.parity import max_error
from keras_inception_export.prepare import float64_twin
from keras_inception_export.probes import BATCH_SIZES, Probes

# Sizes of an unknown axis in each of the three batches: of an image, and of
# anything else. The last two agree, so that samples can be compared.
IMAGE_SIZES = (64, 96, 96)
OTHER_SIZES = (8, 12, 12)


def make_probes(model, twin, samples=None):
    """Return probes with the reference outputs of the original model.

    Args:
        model: the original Functional model.
        twin: its float32 inference twin.
        samples: an array an input name, the user's own data; else the probes
            are random, seeded, and in the range that the model expects.

    Raises:
        RequestError: if the model cannot run on the probes.
    """
    if samples is None:
        feeds = _random_feeds(model, twin)
    else:
        feeds = _cut(samples, _batch_sizes(twin))
    try:
        single = [
            _by_name(twin, compute(twin.call, twin.inputs, feed))
            for feed in feeds
        ]
    except Exception as error:
        shapes = [tuple(value.shape) for value in feeds[0].values()]
        raise RequestError(
            f"the model cannot run on inputs of the shapes {shapes}: "
            f"{reason_of(error)}; give it others with --samples"
        ) from error
    exact = float64_twin(model)
    try:
        reference = [
            _by_name(exact, compute_exactly(exact.call, exact.inputs, feed))
            for feed in feeds
        ]
    except Exception as error:
        raise RequestError(
            "the model cannot be computed in float64, so nothing can be "
            f"proven: {reason_of(error)}"
        ) from error
    del exact
    errors = {
        spec.name: max_error(
            [batch[spec.name] for batch in single],
            [batch[spec.name] for batch in reference],
        )
        for spec in twin.outputs
    }
    return Probes(tuple(feeds), tuple(reference), errors)


def compute(call, specs, feed, dtype="float32", compiled=False):
    """Return what `call` gives for a feed, with arrays for tensors.

    Args:
        call: takes one tensor an input.
        specs: the inputs, in order.
        feed: an array an input name.
        dtype: what floating-point inputs are cast to.
        compiled: whether XLA compiles the whole.
    """
    tensors = []
    for spec in specs:
        array = feed[spec.name]
        floating = np.issubdtype(array.dtype, np.floating)
        tensors.append(
            keras.ops.convert_to_tensor(array, dtype if floating else None)
        )
    if compiled:
        call = tf.function(call, jit_compile=True)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, call(*tensors))


def compute_exactly(call, specs, feed):
    """Compute in float64, compiled where an operation has no kernel for it.

    TensorFlow's three-dimensional poolings know float64 in XLA only, which
    takes seconds to compile and is no faster.
    """
    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")  # for constants within layers
    try:
        return compute(call, specs, feed, "float64")
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError):
        return compute(call, specs, feed, "float64", compiled=True)
    finally:
        keras.config.set_floatx(floatx)


def _by_name(twin, arrays):
    names = (spec.name for spec in twin.outputs)
    return dict(zip(names, arrays, strict=True))


def _batch_sizes(twin):
    fixed = twin.inputs[0].shape[0]
    return BATCH_SIZES if fixed is None else (fixed,) * len(BATCH_SIZES)


def _cut(samples, sizes):
    """Cut samples into batches, starting anew when they run out."""
    number = len(next(iter(samples.values())))
    ends = np.cumsum(sizes)
    return [
        {
            name: array[np.arange(end - size, end) % number]
            for name, array in samples.items()
        }
        for size, end in zip(sizes, ends, strict=True)
    ]


def _random_feeds(model, twin):
    generator = np.random.default_rng(0)
    low, high = _float_range(model)
    vocabulary = min(
        (
            layer.input_dim
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.Embedding)
        ),
        default=2,
    )

    def random(spec, shape):
        if spec.dtype == "bool":
            return generator.random(shape) < 0.5
        if not spec.dtype.startswith("float"):
            limit = 256 if spec.dtype == "uint8" else vocabulary
            return generator.integers(0, limit, shape).astype(spec.dtype)
        # Each sample has a brightness and a contrast of its own: the mean of
        # plain noise is the same in all, and pooled outputs hardly move.
        ends = generator.random((2, shape[0], *(1,) * (len(shape) - 1)))
        values = ends[0] + (ends[1] - ends[0]) * generator.random(shape)
        return (low + (high - low) * values).astype(spec.dtype)

    feeds = []
    for index, size in enumerate(_batch_sizes(twin)):
        feed = {}
        for spec in twin.inputs:
            sizes = IMAGE_SIZES if len(spec.shape) == 4 else OTHER_SIZES
            shape = (size, *(n or sizes[index] for n in spec.shape[1:]))
            feed[spec.name] = random(spec, shape)
        feeds.append(feed)
    return feeds


def _float_range(model):
    """Return the least and the greatest input that the model expects."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            mean = keras.ops.convert_to_numpy(layer.mean).mean()
            spread = keras.ops.convert_to_numpy(layer.variance).mean() ** 0.5
            return mean - 2 * spread, mean + 2 * spread
        if isinstance(layer, keras.layers.Rescaling):
            scale = np.abs(np.max(layer.scale))
            return (0.0, 255.0) if scale < 0.1 else (0.0, 1.0)
    return 0.0, 1.0
