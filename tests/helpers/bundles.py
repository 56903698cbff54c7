"""A small bundle with float and int8 artifacts, and ways to alter one."""

import functools
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_inception_export import export_model
from keras_inception_export.bundle.bundle import sha256_of
from keras_inception_export.formats.registry import format_of
from keras_inception_layers import (
    ConvBN,
    InceptionV1Block,
    InceptionV3Block,
)
from tests.helpers.numeric import random_images, randomize
from tests.helpers.reports import change_report
from tests.helpers.stored_kernels import stored_kernels

BRANCHES = [
    f"inception_{block}/branch_{branch}_conv_{number}"
    for block, lengths in ((1, (1, 2, 2, 1)), (2, (1, 3, 3, 1)))
    for branch, length in enumerate(lengths)
    for number in range(length)
]
"""The convolutions in the blocks of `small_hybrid`."""


def small_hybrid():
    """Return two blocks between other layers, with two similar outputs."""
    image = keras.Input((16, 16, 2), name="image")
    x = ConvBN(8, 3, name="conv")(image)
    x = layers.MaxPooling2D(name="pool")(x)
    x = InceptionV1Block(((8,), (8, 8), (4, 8), (8,)), name="inception_1")(x)
    x = layers.Conv2D(24, 3, padding="same", name="plain")(x)
    x = layers.ReLU(name="relu")(x)
    x = InceptionV3Block(((8,), (8, 8), (4, 8), (8,)), name="inception_2")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    scores = layers.Dense(5, name="dense")(x)
    shifted = scores + keras.ops.mean(scores, axis=-1, keepdims=True)
    outputs = {"scores": scores, "shifted": shifted}
    return randomize(keras.Model(image, outputs, name="small"))


@functools.cache
def _exported():
    folder = tempfile.TemporaryDirectory(prefix="bundle-")
    keras.utils.set_random_seed(0)
    export_model(
        small_hybrid(),
        Path(folder.name) / "small",
        formats=["saved_model", "tflite", "onnx"],
        samples=random_images((60, 16, 16, 2)),
        quantize="int8",
        calibration_samples=30,
        min_agreement=0,
    )
    return folder


def small_bundle():
    """Return the folder of a bundle that is written once; copy it to alter it.

    It contains the float artifacts of `small_hybrid` and, for TFLite and ONNX,
    int8 artifacts with equalized channels.
    """
    return Path(_exported().name) / "small"


def renew_hash(bundle, path):
    """Record the hash and the size of an altered artifact in the report."""
    file = bundle / path
    facts = {"sha256": sha256_of(file), "bytes": format_of(file).nbytes(file)}

    def change(report):
        for artifact in report["artifacts"]:
            artifact |= facts if artifact["path"] == path else {}

    change_report(bundle, change)


def replace_in(path, old, new):
    """Overwrite the array `old`, which a file must contain exactly once."""
    content = path.read_bytes()
    assert content.count(old.tobytes()) == 1
    path.write_bytes(content.replace(old.tobytes(), new.tobytes()))


def kernel_of(layer, path):
    """Return the kernel of a convolution as an artifact stores it."""
    kernels = stored_kernels(path)
    names = (f"{layer}/kernel", f"{layer}/conv/kernel")
    (found,) = [kernels[name] for name in names if name in kernels]
    return np.ascontiguousarray(found)
