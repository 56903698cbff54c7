"""Fashion-MNIST, from training to int8 artifacts with known accuracy.

Trains the hybrid of VGG16 and Inception on 58,000 real images of clothing,
exports it in float and in int8, and classifies the 10,000 test images with
Keras and every artifact. They are used neither for training nor calibration.

    python examples/fashion_mnist.py [--epochs 5] [--output dist/fashion_mnist]

The images come from `keras.datasets`, which downloads them, or from a folder
that contains the four idx files, as in Debian's package dataset-fashion-mnist:

    python examples/fashion_mnist.py --data /usr/share/datasets/fashion-mnist
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import gzip
import struct
import time
from pathlib import Path

import keras
import numpy as np

from keras_inception_export import export_model, load_artifact
from keras_inception_layers import VGG16Inception

HELD_OUT = 2000
"""Training images held out, to calibrate int8 and to evaluate it."""
BATCH = 250
"""Test images per call."""


def load_data(folder=None):
    """Return (images, labels) to train on and to test on.

    Args:
        folder: the folder of the four idx files; `None` downloads the images.

    Returns:
        Images of shape (number, 28, 28) and labels from 0 to 9, as uint8.
    """
    if folder is None:
        return keras.datasets.fashion_mnist.load_data()
    return tuple(
        (
            read_idx(folder / f"{part}-images-idx3-ubyte.gz"),
            read_idx(folder / f"{part}-labels-idx1-ubyte.gz"),
        )
        for part in ("train", "t10k")
    )


def read_idx(path):
    """Return the array of bytes in a gzipped idx file.

    The file starts with two zero bytes, the type (8 is uint8), the number of
    axes, and the size of each axis as a big-endian 32-bit integer.

    Raises:
        ValueError: if it is not an idx file of bytes, or is cut short.
    """
    with gzip.open(path) as file:
        content = file.read()
    zero, kind, axes = struct.unpack_from(">HBB", content)
    if (zero, kind) != (0, 8):
        raise ValueError(f"{path} is not an idx file of bytes")
    shape = struct.unpack_from(f">{axes}I", content, 4)
    values = np.frombuffer(content, "uint8", offset=4 + 4 * axes)
    if values.size != np.prod(shape):
        raise ValueError(
            f"{path} holds {values.size} bytes, expected {np.prod(shape)} "
            f"for the shape {shape}"
        )
    return values.reshape(shape)


def prepare(images):
    """Return uint8 images as the model takes them: 32 x 32 x 1, 0 to 1."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    return padded[..., None].astype("float32") / 255


class Augmented(keras.utils.PyDataset):
    """Batches of images, each mirrored at random.

    Args:
        images: prepared images.
        labels: their classes.
        batch_size: images per batch.
    """

    def __init__(self, images, labels, batch_size):
        super().__init__()
        self.images, self.labels = images, labels
        self.batch_size = batch_size
        self.random = np.random.default_rng(0)
        self.on_epoch_end()

    def __len__(self):
        return len(self.images) // self.batch_size

    def on_epoch_end(self):
        """Shuffle the images."""
        self.order = self.random.permutation(len(self.images))

    def __getitem__(self, index):
        start = index * self.batch_size
        rows = self.order[start : start + self.batch_size]
        mirrored = self.random.random(len(rows)) < 0.5
        images = np.where(
            mirrored[:, None, None, None],
            self.images[rows][:, :, ::-1],
            self.images[rows],
        )
        return images, self.labels[rows]


def build_model():
    """Return the hybrid without its top, and a head for ten classes."""
    features = VGG16Inception(include_top=False, input_shape=(32, 32, 1))
    x = keras.layers.Dense(
        10, activation="softmax", name="clothing", dtype="float32"
    )(features.output)
    return keras.Model(features.input, x, name="fashion_mnist")


def train(images, labels, held_out, epochs, policy="float32", callbacks=()):
    """Return the hybrid, trained in one cycle of the learning rate.

    Args:
        images: prepared images.
        labels: their classes.
        held_out: a dictionary of images `x` and labels `y`, for validation.
        epochs: the number of epochs.
        policy: dtype policy of the training; the returned model is float32.
        callbacks: of `fit`.
    """
    keras.config.set_dtype_policy(policy)
    model = build_model()
    batches = Augmented(images, labels, batch_size=64)
    steps = epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4,
        decay_steps=steps - steps // 10,
        warmup_target=1.5e-3,
        warmup_steps=steps // 10,
    )
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # on a CPU, XLA's convolutions are slower
    )
    model.fit(
        batches,
        epochs=epochs,
        validation_data=(held_out["x"], held_out["y"]),
        callbacks=list(callbacks),
    )
    keras.config.set_dtype_policy("float32")
    trained = build_model()
    trained.set_weights(model.get_weights())
    return trained


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of the four idx files; default: download them",
    )
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="images to train and test on, for a quick run; default: all",
    )
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        help="train in mixed precision: faster on a CPU with AMX",
    )
    parser.add_argument(
        "--trained",
        type=Path,
        metavar="FILE.keras",
        help="a model that an earlier run saved; default: train one",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("dist/fashion_mnist")
    )
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = (
        (prepare(images), labels)
        for images, labels in load_data(arguments.data)
    )
    kept = {"x": x[-HELD_OUT:], "y": y[-HELD_OUT:]}
    x, y = x[:-HELD_OUT][: arguments.limit], y[:-HELD_OUT][: arguments.limit]
    x_test, y_test = x_test[: arguments.limit], y_test[: arguments.limit]

    saved = arguments.trained
    if saved is None:
        saved = arguments.output.with_suffix(".keras")
        saved.parent.mkdir(parents=True, exist_ok=True)
        print(f"Training on {len(x):,} images, {HELD_OUT:,} held out")
        start = time.perf_counter()
        policy = "mixed_bfloat16" if arguments.bfloat16 else "float32"
        model = train(x, y, kept, arguments.epochs, policy)
        model.save(saved)
        print(f"Trained in {(time.perf_counter() - start) / 60:.0f} min")
    model = keras.models.load_model(saved)
    report = export_model(
        saved,
        arguments.output,
        quantize=("int8",),
        samples=kept,
        overwrite=True,
        progress=print,
    )
    print(f"\n{len(x_test):,} test images\n")
    print(table(report, arguments.output, model, x_test, y_test))
    print(f"\nNext: keras-inception benchmark {arguments.output}")


def table(report, folder, model, images, labels):
    """Return a table of how Keras and every artifact classify test images."""
    row = "{:16}{:>10}{:>12}{:>11}".format
    expected = model.predict(images, batch_size=BATCH, verbose=0).argmax(1)
    accuracy = np.mean(expected == labels)
    lines = [
        row("", "accuracy", "difference", "agreement"),
        row("Keras", f"{accuracy:.2%}", "", ""),
    ]
    for artifact in report["artifacts"]:
        run = load_artifact(folder / artifact["path"])
        classes = np.concatenate(
            [
                run(images[start : start + BATCH])["clothing"].argmax(axis=1)
                for start in range(0, len(images), BATCH)
            ]
        )
        own = np.mean(classes == labels)
        scheme = artifact["quantization"] or ""
        lines.append(
            row(
                f"{artifact['format']} {scheme}",
                f"{own:.2%}",
                f"{100 * (own - accuracy):+.2f}",
                f"{np.mean(classes == expected):.2%}",
            )
        )
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    main()
