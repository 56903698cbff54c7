"""Photographs as inputs, beside `keras.applications`, and with --pixels.

    python benchmarks/photographs.py [FOLDER ...]

The photographs are those in the folders; by default those that scikit-learn
and scikit-image are installed with. For the sizes of InceptionV3 and VGG16,
each preset must give the values of `keras.applications` bit for bit, after
Pillow's decoding and resizing, and artifacts that take pixels must be within
the tolerance of the verification.
"""

import argparse
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras.applications.imagenet_utils import preprocess_input

from keras_inception_export import export_model
from keras_inception_export.data.images import decoded, images_in
from keras_inception_export.data.items import Item
from keras_inception_export.data.preprocessing import PRESETS
from keras_inception_export.data.tensor_spec import TensorSpec

FOLDERS = {"sklearn": "datasets/images", "skimage": "data"}
SIZES = {"InceptionV3": 299, "VGG16": 224}
OWN = {"none": lambda x: x, "unit": lambda x: x / np.float32(255)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    folders = parser.parse_args().folders or list(installed())
    photos = [photo for folder in folders for photo in images_in(folder)]
    print(f"{len(photos)} photographs in {', '.join(map(str, folders))}")
    for network, side in SIZES.items():
        for name in PRESETS:
            wrong = [x.name for x in photos if not equal(x, name, side)]
            count = f"{len(photos) - len(wrong)} of {len(photos)} equal"
            print(f"{network:14}{name:8}{count}  {' '.join(wrong)}".rstrip())
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "photos"
        samples.mkdir()
        for number, photo in enumerate(photos):
            shutil.copy(photo, samples / f"{number}{photo.suffix}")
        for network, name in (("InceptionV3", "tf"), ("VGG16", "caffe")):
            report = export_model(
                first_layers(SIZES[network]),
                Path(folder) / network,
                samples=samples,
                preprocess=name,
                pixels=True,
            )
            written = [x["path"] for x in report["artifacts"]]
            print(f"{network:14}{name:8}verified: {', '.join(written)}")


def installed():
    """Yield the folders of photographs of the packages that are installed."""
    for package, folder in FOLDERS.items():
        found = importlib.util.find_spec(package)
        if found is None:
            print(
                f"{package} is not installed; pip install scikit-{package[2:]}"
            )
        else:
            yield Path(found.origin).parent / folder


def equal(path, name, side):
    """Return whether the values are those of `keras.applications`."""
    spec = TensorSpec("image", (None, side, side, 3), "float32")
    image = keras.utils.load_img(
        path, target_size=(side, side), interpolation="bilinear"
    )
    pixels = np.asarray(image, "float32")
    expected = (
        OWN[name](pixels)
        if name in OWN
        else preprocess_input(pixels, mode=name)
    )
    found = decoded(Item(path.name, path), PRESETS[name].fitted(spec))
    return found.dtype == expected.dtype and np.array_equal(found, expected)


def first_layers(side):
    """Return a small network for images of this size."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            keras.layers.Conv2D(8, 3, 2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


if __name__ == "__main__":
    main()
