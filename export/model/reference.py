"""The outputs of a model: in float32, and in float64 as the reference."""

import keras
import numpy as np
import tensorflow as tf

from keras_inception_export.errors import RequestError, reason_of
from keras_inception_export.model.inference_model import InferenceModel


def float32_outputs(inference_model, feeds):
    """Return the outputs of the inference model, by name, per feed.

    Raises:
        RequestError: if the model cannot run on the feeds.
    """
    try:
        return [_outputs(inference_model, compute, feed) for feed in feeds]
    except Exception as error:
        shapes = [tuple(value.shape) for value in feeds[0].values()]
        raise RequestError(
            f"the model cannot run on inputs of the shapes {shapes}: "
            f"{reason_of(error)}; pass suitable inputs as --samples"
        ) from error


def float64_outputs(model, feeds):
    """Return the outputs of the original model in float64, by name, per feed.

    Raises:
        RequestError: if the model cannot be computed in float64.
    """
    exact = InferenceModel.of(model).copy("float64")
    try:
        return [_outputs(exact, compute_exactly, feed) for feed in feeds]
    except Exception as error:
        raise RequestError(
            "the model cannot be computed in float64, so nothing can be "
            f"verified: {reason_of(error)}"
        ) from error


def _outputs(inference_model, run, feed):
    arrays = run(inference_model.call, inference_model.inputs, feed)
    names = (spec.name for spec in inference_model.outputs)
    return dict(zip(names, arrays, strict=True))


def compute(call, specs, feed, dtype="float32", compiled=False):
    """Return the outputs of `call` for a feed, as arrays.

    Floating-point inputs are cast to `dtype`; XLA compiles `call` on request.
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
    """Compute in float64; with XLA if an operation has no other kernel.

    TensorFlow has float64 kernels of three-dimensional pooling in XLA only,
    which takes seconds to compile and is not faster.
    """
    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")  # of constants in layers
    try:
        return compute(call, specs, feed, "float64")
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError):
        return compute(call, specs, feed, "float64", compiled=True)
    finally:
        keras.config.set_floatx(floatx)
