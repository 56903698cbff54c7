"""Where the branches of a block look: Grad-CAM inside an Inception block.

Opens one block of the model that `examples/digits.py` saved, computes the
gradient of the predicted digit with respect to each branch, and draws what
each of them responds to.

    python examples/grad_cam.py [--model dist/digits.keras]
        [--block block_3_1] [--output docs/how_to/grad_cam.png]

Reference: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks
via Gradient-based Localization", 2016, arXiv:1610.02391.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
from pathlib import Path

import digits
import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from keras_inception_layers import InceptionBlock

SIZE = 96  # of a picture, in pixels
GAP = 4


def open_block(model: keras.Model, name: str) -> keras.Model:
    """Return the model with the layers of a block in place of the block.

    They are the same layers, so the weights are shared.
    """

    def call(layer, *args, **kwargs):
        if layer.name == name:
            return layer.call(*args)
        return layer(*args, **kwargs)

    return keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call
    )


def branch_outputs(model: keras.Model, block: InceptionBlock) -> list:
    """Return the output tensor of each branch of an opened block."""
    return [model.get_layer(row[-1].name).output for row in block.branches]


def grad_cam(model: keras.Model, name: str, images: np.ndarray) -> np.ndarray:
    """Return `(branch, image, height, width)` maps, at least 0."""
    opened = open_block(model, name)
    branches = branch_outputs(opened, model.get_layer(name))
    both = keras.Model(opened.input, [branches, opened.output])
    with tf.GradientTape() as tape:
        features, scores = both(images)
        tape.watch(features)
        best = tf.reduce_sum(tf.reduce_max(scores, axis=-1))
    gradients = tape.gradient(best, features)
    maps = []
    for values, gradient in zip(features, gradients, strict=True):
        weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
        maps.append(tf.nn.relu(tf.reduce_sum(weights * values, axis=-1)))
    return np.stack([keras.ops.convert_to_numpy(x) for x in maps])


def picture(image: np.ndarray, heat: np.ndarray | None = None) -> np.ndarray:
    """Return an image as RGB, red where the map is high."""
    gray = _resized(image[..., 0])
    colors = np.repeat(gray[..., None], 3, axis=-1)
    if heat is not None:
        strength = _resized(heat / max(heat.max(), 1e-9))[..., None]
        red = np.array([1.0, 0.2, 0.1])
        colors = colors * (1 - 0.7 * strength) + red * 0.7 * strength
    return (255 * colors).round().astype("uint8")


def _resized(array):
    picture = Image.fromarray(array.astype("float32"))
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, default=Path("dist/digits.keras"))
    add("--block", default="block_3_1")
    add("--output", type=Path, default=Path("docs/how_to/grad_cam.png"))
    arguments = parser.parse_args()
    model = keras.saving.load_model(arguments.model)
    _, (images, labels) = digits.load_data()
    chosen = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    images = images[chosen]
    maps = grad_cam(model, arguments.block, images)
    rows = [[picture(image) for image in images]]
    for branch in maps:
        rows.append(
            [picture(*pair) for pair in zip(images, branch, strict=True)]
        )
    edge = ((GAP, 0), (GAP, 0), (0, 0))
    grid = [
        np.concatenate([np.pad(x, edge, constant_values=255) for x in row], 1)
        for row in rows
    ]
    Image.fromarray(np.concatenate(grid)).save(arguments.output)
    print(f"wrote {arguments.output}: the digits, and one row per branch")


if __name__ == "__main__":
    main()
