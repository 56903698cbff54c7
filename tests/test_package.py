"""The package as a whole: its names, its registry, what importing it costs."""

import subprocess
import sys

import keras
import pytest

import keras_inception_layers
from keras_inception_layers import ConvBN, porting
from keras_inception_layers.registration import register, registered_layers

PUBLIC_NAMES = [
    "AUXILIARY_LOSS_WEIGHT",
    "AuxiliaryClassifier",
    "ConvBN",
    "GoogLeNet",
    "InceptionBlock",
    "InceptionResNetV2",
    "InceptionResNetV2BlockA",
    "InceptionResNetV2BlockB",
    "InceptionResNetV2BlockC",
    "InceptionResNetV2ReductionA",
    "InceptionResNetV2ReductionB",
    "InceptionV1Block",
    "InceptionV2Block",
    "InceptionV3",
    "InceptionV3AuxiliaryClassifier",
    "InceptionV3Block",
    "InceptionV3BlockA",
    "InceptionV3BlockB",
    "InceptionV3BlockC",
    "InceptionV3BlockD",
    "InceptionV3BlockE",
    "InceptionV3ExpandedBlock",
    "InceptionV4",
    "InceptionV4BlockA",
    "InceptionV4BlockB",
    "InceptionV4BlockC",
    "InceptionV4ReductionA",
    "InceptionV4ReductionB",
    "InceptionV4Stem",
    "VGG16",
    "VGG16Inception",
    "drop_auxiliary",
    "fold_batch_norm",
]
IMPORT_SECONDS = 0.05
MEASURE_IMPORT = """
import sys
import time
import keras

before = set(sys.modules)
start = time.perf_counter()
import keras_inception_layers
print(time.perf_counter() - start)
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def test_public_names():
    assert keras_inception_layers.__all__ == PUBLIC_NAMES
    assert porting.__all__ == [
        "port_keras_applications_weights",
        "port_notebook_weights",
        "port_torch_weights",
        "port_vgg16_weights",
    ]
    for name in PUBLIC_NAMES:
        assert hasattr(keras_inception_layers, name)


def test_every_registered_layer_is_public():
    assert set(registered_layers()) < set(PUBLIC_NAMES)


def test_a_taken_name_is_refused():
    class Impostor(keras.layers.Layer):
        pass

    Impostor.__name__ = "ConvBN"
    with pytest.raises(ValueError, match="ConvBN` is already registered by"):
        register(Impostor)
    assert registered_layers()["ConvBN"] is ConvBN
    assert (
        keras.saving.get_registered_object("keras_inception_layers>ConvBN")
        is ConvBN
    )


def test_importing_costs_little_on_top_of_keras():
    """The best of three new processes counts: the machine may be busy."""
    for _ in range(3):
        run = subprocess.run(
            [sys.executable, "-c", MEASURE_IMPORT],
            check=True,
            capture_output=True,
            text=True,
        )
        seconds, modules = run.stdout.splitlines()
        own = set(modules.split()) - sys.stdlib_module_names
        assert own == {"keras_inception_layers"}
        if float(seconds) <= IMPORT_SECONDS:
            return
    pytest.fail(f"importing took {seconds} s in the best of three")
