"""The outputs of a model: in float32, and in float64 as the reference."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_depthwise_conv import (
    BaseDepthwiseConv,
)
from keras.src.layers.convolutional.base_separable_conv import (
    BaseSeparableConv,
)
from keras.src.layers.pooling.base_pooling import BasePooling

from keras_inception_export.data.batching import Arrays
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import (
    ExportError,
    RequestError,
    reason_of,
)
from keras_inception_export.model.call_hooks import observed
from keras_inception_export.model.inference_model import InferenceModel

WITH_WINDOW = (BasePooling, BaseConv, BaseDepthwiseConv, BaseSeparableConv)
"""Layers that move a window over their input."""


def float32_outputs(
    inference_model: InferenceModel, feeds: Sequence[Arrays]
) -> list[dict[str, np.ndarray]]:
    """Return the outputs of a model in float32, by name, per feed.

    Raises:
        RequestError: if the model cannot run on the feeds.
    """
    return _outputs(replace(inference_model, dtype="float32"), feeds)


def float64_outputs(
    model: keras.Model, feeds: Sequence[Arrays]
) -> tuple[list[dict[str, np.ndarray]], list[str]]:
    """Return the outputs of the user's model itself, computed in float64.

    Also return the layers that could be computed in float32 only, such as
    `"block/scale" (Scale)`. Behind them, the outputs are no more accurate.

    Raises:
        RequestError: if the model cannot run on the feeds.
    """
    exact = replace(InferenceModel.of(model), dtype="float64")
    return _outputs(exact, feeds), list(exact.float32_layers)


def _outputs(inference_model, feeds):
    names = [spec.name for spec in inference_model.outputs]
    layers = inference_model.model._flatten_layers()
    windows = [layer for layer in layers if isinstance(layer, WITH_WINDOW)]
    outputs = []
    for feed in feeds:
        try:
            with observed(windows, _not_empty):
                arrays = compute(
                    inference_model.call, inference_model.inputs, feed
                )
        except ExportError:
            raise
        except Exception as error:
            shapes = [tuple(value.shape) for value in feed.values()]
            raise RequestError(
                f"the model cannot run on inputs of the shapes {shapes}: "
                f"{reason_of(error)}; pass suitable inputs as --samples"
            ) from error
        outputs.append(dict(zip(names, arrays, strict=True)))
    return outputs


def _not_empty(layer, call, inputs, *args, **kwargs):
    """Call a layer, unless there is no place for its window."""
    # TensorFlow would end the process, by a division by zero, or return the
    # input of a convolution. Of these, Keras refuses to compute the shape.
    if min(layer.compute_output_shape(inputs.shape)) < 1:
        raise ValueError(
            f"the window {layer.pool_size} is larger than the input of shape "
            f"{tuple(inputs.shape)}"
        )
    return call(inputs, *args, **kwargs)


def compute(
    call: Callable[..., Any], specs: Sequence[TensorSpec], feed: Arrays
) -> Any:
    """Return the outputs of `call` for a feed, as arrays."""
    tensors = [keras.ops.convert_to_tensor(feed[spec.name]) for spec in specs]
    return keras.tree.map_structure(keras.ops.convert_to_numpy, call(*tensors))
