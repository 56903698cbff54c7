"""int8 of a depthwise network, beside TensorFlow's own int8.

    python benchmarks/quantized_mobilenet.py [--model mobilenet.keras]

MobileNetV2 (alpha 0.35) on Fashion-MNIST at 48 x 48, from Debian's package
dataset-fashion-mnist: 20,000 images to train, 1,000 test images as samples,
200 of which calibrate. Without a model, or if the file does not exist, one is
trained first (and saved there).
"""

import gzip
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

FOLDER = Path("/usr/share/datasets/fashion-mnist")
SIZE = 48
TRAINING, SAMPLES = 20_000, 1_000


def images_and_labels(part: str, number: int):
    """Return the first images, padded to 48 x 48 and 0 to 1, and labels."""
    arrays = []
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        path = FOLDER / f"{part}-{kind}-ubyte.gz"
        data = gzip.decompress(path.read_bytes())
        arrays.append(np.frombuffer(data, np.uint8, offset=header))
    images = arrays[0].reshape(-1, 28, 28, 1)[:number] / np.float32(255)
    margin = (SIZE - 28) // 2
    widths = [(0, 0), (margin, margin), (margin, margin), (0, 0)]
    return np.pad(images, widths), arrays[1][:number].astype("int64")


def trained(epochs: int):
    """Return a trained MobileNetV2."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(
        (SIZE, SIZE, 1), alpha=0.35, weights=None, classes=10
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # of few steps, 0.999 remembers the first
    model.compile(
        keras.optimizers.Adam(2e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        *images_and_labels("train", TRAINING),
        batch_size=64,
        epochs=epochs,
        verbose=2,
    )
    return model
