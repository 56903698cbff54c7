"""Which kernels have output channels that can be scaled."""

import keras
import pytest
from keras import layers

from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_export.quantization.channel_flows import channel_flows
from tests.helpers.numeric import randomize


def _shared(x):
    layer = layers.Conv2D(10, 1)
    return layer(x), layer(layers.ReLU()(x))


# What reads the channels of a convolution, and whether they can be scaled.
READERS = {
    "convolution": (lambda x: layers.Conv2D(2, 1)(x), True),
    "depthwise": (
        lambda x: layers.DepthwiseConv2D(3, activation="relu")(x),
        True,
    ),
    "model_output": (lambda x: x, False),
    "addition": (
        lambda x: layers.Conv2D(2, 1)(x + keras.ops.flip(x, 1)),
        False,
    ),
    "swish": (lambda x: layers.Conv2D(2, 1)(keras.ops.silu(x)), False),
    "clipped": (lambda x: layers.Conv2D(2, 1)(keras.ops.relu6(x)), True),
    "flattened": (lambda x: layers.Dense(2)(layers.Flatten()(x)), False),
    "grouped": (lambda x: layers.Conv2D(4, 1, groups=2)(x), False),
    "shared": (_shared, False),
    "shifted": (
        lambda x: layers.Conv2D(2, 1)(
            layers.ReLU()(layers.Rescaling(0.5, offset=1)(x))
        ),
        False,
    ),
    "normalized": (
        lambda x: layers.Conv2D(2, 1)(
            layers.BatchNormalization()(layers.Dropout(0.5)(x))
        ),
        False,
    ),
}


@pytest.fixture(scope="module")
def scalable():
    """The kernels with flows in a model with one convolution per reader."""
    image = keras.Input((12, 12, 2), name="image")
    outputs = [
        read(layers.Conv2D(4, 3, name=name)(image))
        for name, (read, _) in READERS.items()
    ]
    model = keras.Model(image, keras.tree.flatten(outputs))
    inference_model = to_inference_model(functional(randomize(model)))
    variables = {v.path: v for v in inference_model.model.variables}
    flows = channel_flows(float_graph(inference_model), variables)
    return {flow.kernel for flow in flows}


@pytest.mark.parametrize("name", READERS)
def test_channels_can_be_scaled_if_only_kernels_read_them(name, scalable):
    assert (f"{name}/kernel" in scalable) == READERS[name][1]
