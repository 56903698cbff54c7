"""Which Keras layer a tensor of a TFLite model belongs to."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_inception_export.formats.tflite.flatbuffer import Structure
from keras_inception_export.formats.tflite.naming import (
    keras_name,
    layers_of,
    layers_with_kernel,
    name_kernels,
)
from keras_inception_export.model.name_scopes import recorded, split_scope
from tests.helpers.tflite_models import tflite_model


@pytest.mark.parametrize(
    ("name", "layers", "expected"),
    [
        (
            "stem/Relu;stem/conv/convolution",
            {"stem", "stem/conv"},
            ["stem", "stem/conv"],
        ),
        ("stem/Relu;stem/conv/convolution", {"stem/conv"}, ["stem/conv"]),
        ("conv_1/convolution1", {"conv", "conv_1"}, ["conv_1"]),
        ("conv/convolution:1", {"conv", "conv_1"}, ["conv"]),
        ("dense/kernel", {"dense"}, ["dense"]),
        ("block/concat", {"block/branch_0"}, []),
        ("arith.constant7", {"block"}, []),
    ],
)
def test_layers_of_a_tensor(name, layers, expected):
    assert list(layers_of(name, layers)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stem/conv/kernel", ["stem/conv"]),
        ("a/kernel;b/kernel", ["a", "b"]),
        ("constant", []),
    ],
)
def test_layers_with_a_kernel(name, expected):
    assert list(layers_with_kernel(name)) == expected


@pytest.mark.parametrize(
    ("name", "scopes", "expected"),
    [
        # Scopes of MobileNetV3: the layer `re_lu_1` ran in `re_lu_1_2`.
        (
            "m_1/re_lu_1_2/Relu6;m_1/Add;;m_1/re_lu_1/Relu;1",
            {"m_1/re_lu_1": "re_lu", "m_1/re_lu_1_2": "re_lu_1"},
            "re_lu_1/Relu6;Add;re_lu/Relu",
        ),
        ("m_1/stem_1/conv_1/Relu", {"m_1/stem_1": "stem"}, "stem/conv_1/Relu"),
        ("m_1/stem_1/Relu", {"m_1/stem": "stem"}, "Relu"),
    ],
)
def test_replaces_scopes_by_keras_paths(name, scopes, expected):
    assert keras_name(name, scopes) == expected


def named_kernels(variables):
    """Return the final names of two kernels; the second is used twice."""
    tensors = {"x": (1, 3), "a/MatMul": (1, 2), "k0": np.ones((2, 3), "f4")}
    tensors |= {"k1": np.ones((2, 2), "f4"), "b/Relu;b/MatMul": (1, 2)}
    operators = [
        ("FULLY_CONNECTED", ["x", "k0"], "a/MatMul"),
        ("FULLY_CONNECTED", ["a/MatMul", "k1"], "b/Relu;b/MatMul"),
        ("FULLY_CONNECTED", ["b/Relu;b/MatMul", "k1"], "c/MatMul"),
    ]
    tensors["c/MatMul"] = (1, 2)
    structure = Structure(tflite_model(tensors, operators, ["x"], ["c/MatMul"]))
    model = SimpleNamespace(
        variables=[
            SimpleNamespace(path=path, shape=shape)
            for path, shape in variables.items()
        ]
    )
    name_kernels(structure, model)
    return structure.name_of(2), structure.name_of(3)


def test_kernels_are_named_by_their_variables():
    """Equal kernels of two layers are one constant."""
    variables = {"a/kernel": (3, 2), "a/bias": (2,)}
    shared = {"b/kernel": (2, 2), "c/kernel": (2, 2)}
    assert named_kernels(variables | shared) == (
        "a/kernel",
        "b/kernel;c/kernel",
    )
    assert named_kernels(variables) == ("a/kernel", "k1")
    # A part of a variable, as that of a group, is named after its layer.
    (name, _) = named_kernels({"a/kernel": (3, 4), "a/bias": (4,)} | shared)
    assert name == "a/k0" and list(layers_with_kernel(name)) == ["a"]


def test_a_kernel_with_factors_is_that_of_its_layer():
    """The converter names it after the product that follows the layer."""
    first, second = layers.Dense(2, name="first"), layers.Dense(2, name="c")
    for layer in (first, second):
        layer.build((None, 3))
    tensors = {"x": (1, 3), "mul/Mul": second.kernel.numpy().T * [[640], [-1]]}
    tensors["mul/Mul"] = tensors["mul/Mul"].astype("float32")
    tensors["y"] = (1, 2)
    operators = [("FULLY_CONNECTED", ["x", "mul/Mul"], "y")]
    structure = Structure(tflite_model(tensors, operators, ["x"], ["y"]))
    variables = [*first.variables, *second.variables]
    name_kernels(structure, SimpleNamespace(variables=variables))
    assert structure.name_of(1) == "c/kernel"


def test_a_layer_that_shares_the_scope_of_its_wrapper():
    """`TimeDistributed` runs `call` of its layer, which enters no scope."""
    inner = layers.Conv2D(2, 3, name="inner")
    series = keras.Input((2, 4, 4, 1))
    outer = layers.TimeDistributed(inner, name="outer")
    model = keras.Model(series, layers.Dense(1, name="last")(outer(series)))
    scopes = {}
    signature = tf.TensorSpec((1, 2, 4, 4, 1))
    with recorded(model, scopes):
        traced = tf.function(model, autograph=False)
        graph = traced.get_concrete_function(signature).graph
    found = {
        split_scope(operation.name, scopes)[0]
        for operation in graph.get_operations()
        if operation.type == "Conv2D"
    }
    assert found == {inner.path}
