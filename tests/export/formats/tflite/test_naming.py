"""Which Keras layer a tensor of a TFLite model belongs to."""

import pytest

from keras_inception_export.formats.tflite.naming import keras_name, layers_of


@pytest.mark.parametrize(
    ("name", "asked", "layer"),
    [
        ("stem/Relu;stem/conv/convolution", {"stem/conv"}, "stem/conv"),
        ("stem/Relu;stem/conv/convolution", {"stem", "stem/conv"}, "stem"),
        ("conv_1/convolution1", {"conv", "conv_1"}, "conv_1"),
        ("conv/convolution:1", {"conv", "conv_1"}, "conv"),
        ("dense/kernel", {"dense"}, "dense"),
        ("block/concat", {"block/branch_0"}, None),
        ("arith.constant7", {"block"}, None),
    ],
)
def test_tells_the_layer_of_a_tensor(name, asked, layer):
    assert next(layers_of(name, asked), None) == layer


def test_puts_keras_paths_in_the_place_of_scopes():
    """Scopes of MobileNetV3: the layer `re_lu_1` ran in `re_lu_1_2`."""
    scopes = {"m_1/re_lu_1": "re_lu", "m_1/re_lu_1_2": "re_lu_1"}
    name = "m_1/re_lu_1_2/Relu6;m_1/Add;;m_1/re_lu_1/Relu;1"
    assert keras_name(name, scopes) == "re_lu_1/Relu6;Add;re_lu/Relu"
