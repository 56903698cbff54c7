"""Which share of the channels inputs move: default probes, beside real samples.

    python benchmarks/coverage.py [--model mobilenet.keras]

The networks at their default sizes have random weights and statistics, and
their samples are crops of the photographs of scikit-learn. MobileNetV2 on
Fashion-MNIST is that of `quantized_mobilenet.py`, which trains it if `--model`
does not exist. All channels are counted as `export` counts them, for an ONNX
artifact.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from corpus.case import randomize
from quantized_mobilenet import images_and_labels, trained
from sklearn.datasets import load_sample_images

from keras_inception_export import export_model
from keras_inception_layers import VGG16Inception

NETWORKS = {
    "VGG16Inception": VGG16Inception,
    "InceptionV3": lambda: keras.applications.InceptionV3(weights=None),
    "MobileNetV2": lambda: keras.applications.MobileNetV2(weights=None),
}
SAMPLES = 32
ROW = "{:<26}{:>9}{:>16}{:>14}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    path = parser.parse_args().model
    print(ROW.format("network", "channels", "default probes", "real samples"))
    for name, build in NETWORKS.items():
        model = randomize(build(), anew=True)
        show(name, model, crops(*model.input_shape[2:]))
    if path and path.exists():
        model = keras.models.load_model(path)
    else:
        model = trained(epochs=3)
        if path:
            model.save(path)
    images, _ = images_and_labels("t10k", SAMPLES)
    show("MobileNetV2, Fashion-MNIST", model, images)


def crops(size: int, channels: int) -> np.ndarray:
    """Return crops of the photographs, from -1 to 1; a channel may be gray."""
    generator = np.random.default_rng(0)
    photographs = load_sample_images().images
    found = []
    for index in range(SAMPLES):
        photograph = photographs[index % len(photographs)]
        places = [generator.integers(n - size) for n in photograph.shape[:2]]
        rows, columns = (slice(place, place + size) for place in places)
        found.append(photograph[rows, columns])
    images = np.array(found) / np.float32(127.5) - 1
    return images if channels == 3 else images.mean(axis=-1, keepdims=True)


def show(name, model, samples):
    """Print the row of a model."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [
            export_model(
                model, Path(folder) / str(place), formats="onnx", samples=x
            )
            for place, x in enumerate((None, samples))
        ]
    found = [report["coverage"] for report in reports]
    shares = [f"{x['moved'] / x['channels']:.1%}" for x in found]
    print(ROW.format(name, found[0]["channels"], *shares), flush=True)


if __name__ == "__main__":
    main()
