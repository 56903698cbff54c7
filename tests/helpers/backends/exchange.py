"""Write model files under one backend, or read those of all backends.

    python -m tests.helpers.backends.exchange write FOLDER
    python -m tests.helpers.backends.exchange read FOLDER

`write` saves models and their outputs, one of them after a training step.
`read` loads the files of every backend and saves the outputs; those of its own
file once more, with every moving variance perturbed.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from keras_inception_layers import VGG16Inception
from tests.helpers.backends.processes import BACKENDS
from tests.helpers.initial_values import quick_initial_values
from tests.helpers.layer_cases import every_layer_model
from tests.helpers.numeric import (
    ONE_STEP,
    perturb,
    random_images,
    randomize,
    to_array,
)

MODELS = ("hybrid", "every_layer")


def hybrid():
    """Return a small hybrid after a training step, with its optimizer."""
    model = VGG16Inception(include_top=False, input_shape=(32, 32, 1))
    randomize(model).compile(keras.optimizers.Adam(1e-4), "mse", **ONE_STEP)
    model.train_on_batch(random_images((4, 32, 32, 1)), random_images((4, 512)))
    return model


def outputs(model):
    """Return the outputs in inference on the images of every backend."""
    images = random_images((3, *model.input_shape[1:]), seed=7)
    return [to_array(x) for x in keras.tree.flatten(model(images))]


def write(folder):
    backend = keras.backend.backend()
    for name in MODELS:
        model = hybrid() if name == "hybrid" else randomize(every_layer_model())
        model.save(folder / f"{name}_{backend}.keras")
        np.savez(folder / f"{name}_{backend}_by_{backend}.npz", *outputs(model))


def read(folder):
    backend = keras.backend.backend()
    for name in MODELS:
        for writer in BACKENDS:
            path = folder / f"{name}_{writer}.keras"
            model = keras.saving.load_model(path)
            by = f"{name}_{writer}_by_{backend}"
            np.savez(folder / f"{by}.npz", *outputs(model))
            if name == "hybrid":
                assert int(model.optimizer.iterations) == 1
            if writer == backend:
                for weight in model.weights:
                    if weight.name == "moving_variance":
                        perturb(weight)
                np.savez(folder / f"{by}_perturbed.npz", *outputs(model))


if __name__ == "__main__":
    with quick_initial_values():
        {"write": write, "read": read}[sys.argv[1]](Path(sys.argv[2]))
