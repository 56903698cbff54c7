"""Handwritten digits, from training to ONNX Runtime, in a few minutes.

Trains the hybrid of VGG16 and Inception on scikit-learn's 1,797 real
handwritten digits, saves it, loads it again, exports it to SavedModel, TFLite
and ONNX, each verified, and classifies held-out digits with every artifact: as
arrays, and from PNG files, since the artifacts know how pixels become inputs.

    python examples/digits.py [--epochs 6] [--output dist/digits]
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from keras_inception_export import export_model, load_artifact
from keras_inception_layers import VGG16Inception

ARTIFACTS = ("saved_model", "model.tflite", "model.onnx")
NAMES = "zero one two three four five six seven eight nine".split()


def load_data():
    """Return training and held-out digits, 32 x 32 x 1, from 0 to 1."""
    digits = load_digits()
    images = digits.images[..., None].astype("float32") / 16.0
    images = keras.ops.convert_to_numpy(
        keras.ops.image.resize(images, (32, 32), interpolation="bilinear")
    )
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:-360], order[-360:]
    labels = digits.target.astype("int32")
    return (images[train], labels[train]), (images[test], labels[test])


def build_model():
    """Return the hybrid without its top, and a head for ten digits."""
    features = VGG16Inception(
        include_top=False,
        input_shape=(32, 32, 1),
        momentum=0.9,  # keeps pace with a training of 270 steps
    )
    x = keras.layers.Dropout(0.3)(features.output)
    x = keras.layers.Dense(10, activation="softmax", name="digit")(x)
    return keras.Model(features.input, x, name="digits")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--output", type=Path, default=Path("dist/digits"))
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = load_data()
    model = build_model()
    steps = arguments.epochs * -(-len(x) // 32)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(1e-3, steps)
        ),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    print(f"Training on {len(x)} digits, {len(x_test)} held out")
    start = time.perf_counter()
    model.fit(x, y, batch_size=32, epochs=arguments.epochs, verbose=2)
    print(f"Trained in {time.perf_counter() - start:.0f} s")

    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    saved = arguments.output.with_suffix(".keras")
    model.save(saved)
    model = keras.models.load_model(saved)
    print(f"Saved and loaded again: {saved}\n")

    export_model(
        saved,
        arguments.output,
        samples=x_test,
        preprocess="unit",  # pixels of 0 to 255 become inputs of 0 to 1
        labels=NAMES,
        overwrite=True,
        progress=print,
    )
    expected = model.predict(x_test, verbose=0).argmax(axis=1)
    print(f"\n{'':14}{'accuracy':>9}{'agreement':>11}{'ms/digit':>10}")
    print(f"{'Keras':14}{np.mean(expected == y_test):>9.2%}")
    for name in ARTIFACTS:
        run = load_artifact(arguments.output / name)
        run(x_test[:1])
        start = time.perf_counter()
        classes = run(x_test)["digit"].argmax(axis=1)
        each = (time.perf_counter() - start) * 1000 / len(x_test)
        print(
            f"{name:14}{np.mean(classes == y_test):>9.2%}"
            f"{np.mean(classes == expected):>11.2%}{each:>10.2f}"
        )
    show(x_test, load_artifact(arguments.output / "model.onnx"), y_test)
    folder = arguments.output.with_name("images")
    save_images(folder, x_test, y_test)
    names = [
        (Path(found.name).stem.split("_")[0], found.top(1)[0][1])
        for found in load_artifact(arguments.output).predict(folder)
    ]
    right = np.mean([truth == name for truth, name in names])
    print(f"\nFrom the {len(names)} PNG files in {folder}: {right:.2%} right")
    print(f"Next: keras-inception predict {arguments.output} {folder}")


def save_images(folder, images, labels):
    """Write images as PNG files, such as `seven_012.png`."""
    folder.mkdir(exist_ok=True)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        pixels = np.rint(255 * image[..., 0]).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{NAMES[label]}_{i:03}.png")


def show(images, run, labels, number=6):
    """Print some held-out digits as text, and the classes of ONNX Runtime."""
    classes = run(images[:number])["digit"].argmax(axis=1)
    shades = np.array(list(" .:-=+*#%@"))
    print("\nHeld-out digits, and the classes that ONNX Runtime computes\n")
    for row in range(0, 32, 3):
        lines = (images[:number, row, ::2, 0] * 9.99).astype(int)
        print("  ".join("".join(shades[line]) for line in lines))
    seen = (
        f"{c} (label {label})"
        for c, label in zip(classes, labels[:number], strict=True)
    )
    print("  ".join(f"{text:^16}" for text in seen))


if __name__ == "__main__":
    main()
